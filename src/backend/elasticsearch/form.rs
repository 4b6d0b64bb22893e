//! The form of the documents that a selection reads: which fields are its time, value, series and tags.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::mapping::{Choice, Filter, Mapping};

/// The fields of an index and their types: more than one where its indexes disagree.
pub type FieldTypes = BTreeMap<String, BTreeSet<String>>;

/// What a document is worth.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// The field's value; a document without it is no point.
    Field(String),
    /// The field's value, and 1 without it.
    FieldOrOne(String),
    /// 1.
    One,
}

/// Which documents are of a series.
#[derive(Debug, Clone, PartialEq)]
pub enum Series {
    /// Those that bear its name in the field.
    Named(String),
    /// Those too that have no such field.
    NamedOrNone(String),
    /// All.
    All,
}

/// The documents of one selection.
#[derive(Debug, Clone)]
pub struct Form {
    pub index: String,
    /// Whether it is the index that comes with the first write, so that it may not be there yet.
    pub is_awaited: bool,
    /// Whether all documents are of our own form.
    pub ours: bool,
    pub time: String,
    pub value: Value,
    pub series: Series,
    pub filter: Option<Filter>,
    /// The field of each tag that the selection names.
    pub tags: BTreeMap<String, String>,
    /// Fields that, beside the object `tags`, tell stored series apart.
    pub identity: Vec<String>,
    /// Whether every document says with `tags` or `identity` which stored series it is of.
    pub identified: bool,
}

const TIME: &str = "@timestamp";

impl Form {
    /// Our own documents.
    pub fn ours(index: &str, tags: &BTreeSet<&String>) -> Form {
        Form {
            index: index.to_owned(),
            is_awaited: true,
            ours: true,
            time: TIME.to_owned(),
            value: Value::Field("value".to_owned()),
            series: Series::Named("series".to_owned()),
            filter: None,
            tags: tags.iter().map(|tag| ((*tag).clone(), format!("tags.{tag}"))).collect(),
            identity: Vec::new(),
            identified: true,
        }
    }

    /// Documents of another form, in an index of which the fields are known. `index` is the one of metrics that name none.
    ///
    /// # Errors
    /// A field that cannot be matched as it is.
    pub fn mapped(
        index: &str,
        mapping: &Mapping,
        tags: &BTreeSet<&String>,
        types: &FieldTypes,
    ) -> Result<Form, String> {
        let index = mapping.index.as_deref().unwrap_or(index);
        let exact = |field: &str| exact_field(index, field, types);
        let value = match &mapping.value_field {
            Some(Choice::Field(field)) => Value::Field(field.clone()),
            Some(Choice::Nothing) => Value::One,
            None => Value::FieldOrOne("value".to_owned()),
        };
        let series = match &mapping.series_field {
            Some(Choice::Field(field)) => Series::Named(exact(field)?),
            Some(Choice::Nothing) => Series::All,
            None => Series::NamedOrNone(exact("series")?),
        };
        let field_of = |tag: &str| -> Result<String, String> {
            match mapping.tag_fields.as_ref().and_then(|fields| fields.get(tag)) {
                Some(field) => exact(field),
                None => exact(&implied_field(tag, types)),
            }
        };
        let mut identity = BTreeSet::new();
        for field in mapping.tag_fields.iter().flat_map(|fields| fields.values()) {
            identity.insert(exact(field)?);
        }
        let tags: Result<BTreeMap<String, String>, String> =
            tags.iter().map(|tag| Ok(((*tag).clone(), field_of(tag)?))).collect();
        let tags = tags?;
        identity.extend(tags.values().cloned());
        Ok(Form {
            index: index.to_owned(),
            is_awaited: mapping.index.is_none(),
            ours: false,
            time: mapping.time_field.clone().unwrap_or_else(|| TIME.to_owned()),
            value,
            series,
            filter: mapping.filter.clone(),
            tags,
            identity: identity.into_iter().collect(),
            identified: mapping.tag_fields.is_some(),
        })
    }

    /// The field of a tag that the selection names.
    pub fn field<'a>(&'a self, tag: &'a str) -> &'a str {
        self.tags.get(tag).map_or(tag, String::as_str)
    }
}

/// `tags.<tag>` where there is such a field, else `<tag>` where there is that.
fn implied_field(tag: &str, types: &FieldTypes) -> String {
    let within = format!("tags.{tag}");
    let found = |field: &str| types.contains_key(field);
    if !found(&within) && found(tag) { tag.to_owned() } else { within }
}

/// Whether the index has a field for the tag at all; a later document may bring one.
pub fn is_known(tag: &str, mapping: &Mapping, types: &FieldTypes) -> bool {
    let named = mapping.tag_fields.as_ref().and_then(|fields| fields.get(tag));
    types.contains_key(named.map_or(&*implied_field(tag, types), String::as_str))
}

/// A field of which whole values are compared. Words of a `text` would match more than the plain value; the `keyword` that
/// Elasticsearch puts beside it by default does not.
fn exact_field(index: &str, field: &str, types: &FieldTypes) -> Result<String, String> {
    let is_text = |kind: &String| matches!(kind.as_str(), "text" | "match_only_text" | "search_as_you_type");
    if !types.get(field).is_some_and(|kinds| kinds.iter().any(is_text)) {
        return Ok(field.to_owned());
    }
    let keyword = format!("{field}.keyword");
    match types.get(&keyword) {
        Some(kinds) if !kinds.iter().any(is_text) => Ok(keyword),
        _ => Err(format!(
            "`{field}` of the index {index} is a text, of which only words can be matched; name a field of type keyword \
             in tag_fields or series_field"
        )),
    }
}

/// The path that tells the fields of an index.
pub fn fields_path(index: &str) -> String {
    format!("/{}/_field_caps?fields=*&filter_path=fields.*.*.type", super::request::in_path(index))
}

/// Its answer.
pub fn decode_fields(bytes: &[u8]) -> Result<FieldTypes, String> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        fields: BTreeMap<String, BTreeMap<String, serde::de::IgnoredAny>>,
    }
    let answer: Answer =
        serde_json::from_slice(bytes).map_err(|error| format!("the fields of its index cannot be read: {error}"))?;
    Ok(answer.fields.into_iter().map(|(field, kinds)| (field, kinds.into_keys().collect())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::elasticsearch::mapping;

    fn types() -> FieldTypes {
        let kinds = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect();
        BTreeMap::from([
            ("tags.host".to_owned(), kinds(&["keyword"])),
            ("host".to_owned(), kinds(&["keyword"])),
            ("zone".to_owned(), kinds(&["text", "keyword"])),
            ("zone.keyword".to_owned(), kinds(&["keyword"])),
            ("message".to_owned(), kinds(&["text"])),
            ("code".to_owned(), kinds(&["long"])),
        ])
    }

    #[test]
    fn a_tag_is_the_field_that_the_index_has_and_never_a_text() {
        let mapping = mapping::parse(r#"{"tag_fields":{"shown":"message"}}"#).unwrap();
        for (tag, field) in [("host", "tags.host"), ("zone", "zone.keyword"), ("code", "code"), ("none", "tags.none")] {
            let form = Form::mapped("i", &mapping::parse("{}").unwrap(), &BTreeSet::from([&tag.to_owned()]), &types());
            assert_eq!(form.unwrap().field(tag), field);
        }
        let error = Form::mapped("i", &mapping, &BTreeSet::from([&"shown".to_owned()]), &types()).unwrap_err();
        assert!(error.contains("`message` of the index i is a text"), "{error}");
        assert!(is_known("host", &mapping, &types()) && !is_known("none", &mapping, &types()));
    }
}
