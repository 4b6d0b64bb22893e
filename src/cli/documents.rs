//! `schema` and `openapi`: documents that are made from the code.

use std::io::Write;

use anyhow::bail;

use super::Status;
use crate::http::openapi;

pub fn schema(_out: &mut impl Write) -> anyhow::Result<Status> {
    bail!("the JSON schema of keyspace files is not part of this build")
}

pub fn openapi(out: &mut impl Write) -> anyhow::Result<Status> {
    writeln!(out, "{}", openapi::document()?.trim_end())?;
    Ok(Status::Well)
}
