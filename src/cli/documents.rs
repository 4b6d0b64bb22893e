//! `schema` and `openapi`: documents that are made from the code.

use std::io::Write;

use super::Status;
use crate::catalog;
use crate::http::openapi;

pub fn schema(out: &mut impl Write) -> anyhow::Result<Status> {
    writeln!(out, "{}", catalog::SCHEMA.trim_end())?;
    Ok(Status::Well)
}

pub fn openapi(out: &mut impl Write) -> anyhow::Result<Status> {
    writeln!(out, "{}", openapi::document()?.trim_end())?;
    Ok(Status::Well)
}
