//! The body of a request → JSON, checked step by step: media type, size, text.

use std::fmt;

use axum::body::Body;
use axum::extract::Request as HttpRequest;
use axum::http::{HeaderMap, HeaderValue, header};
use futures_util::StreamExt;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::problem::{Fault, Problem};
use crate::config::Limits;

/// The bytes of a JSON body, within its limits.
pub async fn read(request: HttpRequest, limits: &Limits) -> Result<Vec<u8>, Problem> {
    check_media_type(request.headers())?;
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limits.body as u64) {
        return Err(too_large(limits.body));
    }
    let collected = tokio::time::timeout(limits.deadline, collect(request.into_body(), limits.body)).await;
    collected.unwrap_or_else(|_| {
        let detail = format!("the body did not arrive within {} ms", limits.deadline.as_millis());
        Err(Problem::new(Fault::BodyTimeout, detail))
    })
}

/// The length may not have been announced, so it is counted as it comes.
async fn collect(body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| Problem::new(Fault::BodyUnreadable, "the body broke off before its end"))?;
        if bytes.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Fault::BodyTooLarge, format!("the body has more than {limit} bytes"))
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let refuse = |detail: &str| Problem::new(Fault::UnsupportedMediaType, detail);
    let encoding = headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
        let problem = refuse("send the body without a content encoding");
        return Err(problem.with_header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity")));
    }
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let media = match (types.next(), types.next()) {
        (Some(media), None) => media.to_str().unwrap_or("").to_ascii_lowercase(),
        _ => return Err(refuse("say once that the body is application/json, in the header Content-Type")),
    };
    let mut parts = media.split(';').map(str::trim);
    let name = parts.next().unwrap_or("");
    let is_json = name == "application/json" || (name.starts_with("application/") && name.ends_with("+json"));
    let is_utf8 = parts
        .filter_map(|part| part.strip_prefix("charset="))
        .all(|charset| matches!(charset.trim_matches('"'), "utf-8" | "utf8" | "us-ascii"));
    if is_json && is_utf8 { Ok(()) } else { Err(refuse("send the body as application/json, in UTF-8")) }
}

/// Reads JSON, and refuses what readers disagree about: a key that is there twice.
pub fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    if bytes.is_empty() {
        return Err(Problem::new(Fault::InvalidJson, "the body is empty; send a JSON object").at(1, 1));
    }
    serde_json::from_slice::<Strict>(bytes).map(|strict| strict.0).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Problem::new(Fault::InvalidJson, format!("the body is not JSON: {error}")).at(line, column)
    })
}

/// A [`Value`] whose objects have no key twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strict, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                let shown: String = key.chars().take(60).collect();
                return Err(de::Error::custom(format_args!("the key `{shown}` is there twice")));
            }
            let Strict(value) = entries.next_value()?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn media_types() {
        let refused = |value: &'static str| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))]);
            check_media_type(&headers).is_err()
        };
        for good in [
            "application/json",
            "Application/JSON;charset=UTF-8",
            "application/json; charset=\"utf-8\"",
            "application/vnd.api+json",
        ] {
            assert!(!refused(good), "{good}");
        }
        for bad in ["", "text/plain", "application/jsonx", "text/+json", "application/json; charset=utf-16", "json"] {
            assert!(refused(bad), "{bad}");
        }
        assert!(check_media_type(&HeaderMap::new()).is_err());
    }

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_is_read_as_it_was_written(document in documents()) {
            prop_assert_eq!(parse(document.to_string().as_bytes()).unwrap(), document);
        }

        #[test]
        fn any_cut_of_an_object_is_refused(document in documents(), at in any::<prop::sample::Index>()) {
            let text = serde_json::json!({ "a": document }).to_string();
            prop_assert!(parse(&text.as_bytes()[..at.index(text.len())]).is_err());
        }
    }
}
