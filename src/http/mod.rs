//! The only axum: router, middleware, handlers, problem documents, encoding.

pub mod encode;
