//! What the caller accepts (RFC 9110, 12.5.1).

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use super::problem::{Fault, Problem};

/// What an answer is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `application/json`
    Json,
    /// `text/csv`
    Csv,
}

impl Form {
    const ALL: [Form; 2] = [Form::Json, Form::Csv];

    fn media(self) -> (&'static str, &'static str) {
        match self {
            Form::Json => ("application", "json"),
            Form::Csv => ("text", "csv"),
        }
    }

    /// The form that the caller likes best, JSON where that leaves a choice.
    pub fn negotiate(headers: &HeaderMap) -> Result<Form, Problem> {
        let accept = headers.get_all(header::ACCEPT).iter().map(|value| value.to_str().unwrap_or(""));
        let accept = accept.collect::<Vec<&str>>().join(",");
        let mut best: Option<(u16, Form)> = None;
        for form in Form::ALL {
            let quality = if accept.trim().is_empty() { 1000 } else { quality(&accept, form) };
            if quality > best.map_or(0, |(best, _)| best) {
                best = Some((quality, form));
            }
        }
        let detail = "answers are application/json or text/csv, everything else application/json";
        best.map(|(_, form)| form).ok_or_else(|| Problem::new(Fault::NotAcceptable, detail))
    }
}

/// How much a form is liked, in thousandths: what the most specific range that covers it says.
fn quality(accept: &str, form: Form) -> u16 {
    let (kind, subtype) = form.media();
    let mut found = (0, 0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or("").to_ascii_lowercase();
        let specific = match media.split_once('/') {
            Some((k, s)) if k == kind && s == subtype => 3,
            Some((k, "*")) if k == kind => 2,
            Some(("*", "*")) => 1,
            _ => continue,
        };
        let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        let weight = weight.map_or(1000, thousandths);
        if specific > found.0 || (specific == found.0 && weight > found.1) {
            found = (specific, weight);
        }
    }
    found.1
}

/// A weight from 0 to 1 in thousandths; what is not one counts as 0.
fn thousandths(text: &str) -> u16 {
    match text.parse::<f32>() {
        Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * 1000.0).round() as u16,
        _ => 0,
    }
}

/// The caller accepts JSON, the only form of this answer.
pub struct AcceptsJson;

impl<S: Sync> FromRequestParts<S> for AcceptsJson {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<AcceptsJson, Problem> {
        let accept = parts.headers.get_all(header::ACCEPT).iter().map(|value| value.to_str().unwrap_or(""));
        let accept = accept.collect::<Vec<&str>>().join(",");
        if accept.trim().is_empty() || quality(&accept, Form::Json) > 0 {
            return Ok(AcceptsJson);
        }
        Err(Problem::new(Fault::NotAcceptable, "this answer is application/json"))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn chosen(accept: &[&str]) -> Option<Form> {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(header::ACCEPT, HeaderValue::from_str(value).unwrap());
        }
        Form::negotiate(&headers).ok()
    }

    #[test]
    fn the_best_form_is_chosen() {
        let cases: [(&[&str], Option<Form>); 20] = [
            (&[], Some(Form::Json)),
            (&[""], Some(Form::Json)),
            (&["*/*"], Some(Form::Json)),
            (&["application/json"], Some(Form::Json)),
            (&["Application/JSON; charset=utf-8"], Some(Form::Json)),
            (&["text/csv"], Some(Form::Csv)),
            (&["text/*"], Some(Form::Csv)),
            (&["application/*"], Some(Form::Json)),
            (&["text/csv, application/json"], Some(Form::Json)),
            (&["text/csv, application/json;q=0.9"], Some(Form::Csv)),
            (&["text/csv;header=present;q=0.5, */*;q=0.4"], Some(Form::Csv)),
            (&["text/csv;q=0, */*"], Some(Form::Json)),
            (&["application/json;q=0, */*"], Some(Form::Csv)),
            (&["text/html", "text/csv"], Some(Form::Csv)),
            (&["application/problem+json, text/csv"], Some(Form::Csv)),
            (&["text/html"], None),
            (&["application/problem+json"], None),
            (&["*/*;q=0"], None),
            (&["application/json;q=nan"], None),
            (&["json"], None),
        ];
        for (accept, expected) in cases {
            assert_eq!(chosen(accept), expected, "{accept:?}");
        }
    }
}
