//! Template literals: text with `${name}` in it. Completed by value, never by pasting text that is parsed again.

use std::fmt;

/// A text with parameters in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Template {
    /// Literals and parameters in order; no two literals are neighbours and no literal is empty.
    pub parts: Vec<Part>,
}

/// A part of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Part {
    /// Text that stands for itself.
    Literal(String),
    /// `${name}`.
    Param(String),
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateFault {
    /// The byte offset of the `${` in the text.
    pub offset: usize,
    /// What is wrong with it.
    pub message: String,
}

impl Template {
    /// Reads a text: `${name}` is a parameter, `$${` a literal `${`, any other `$` itself.
    ///
    /// # Errors
    /// A `${` without its `}`, or with something other than a parameter's name between them.
    pub fn parse(text: &str) -> Result<Template, TemplateFault> {
        let mut template = Template::default();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let offset = text.len() - rest.len() + at;
            let (before, after) = (&rest[..at], &rest[at + 2..]);
            if let Some(before) = before.strip_suffix('$') {
                literal.push_str(before);
                literal.push_str("${");
                rest = after;
                continue;
            }
            literal.push_str(before);
            let name = after.split_once('}').map(|(name, _)| name);
            let name = name.filter(|name| is_name(name)).ok_or_else(|| fault(offset, name))?;
            if !literal.is_empty() {
                template.parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            template.parts.push(Part::Param(name.to_owned()));
            rest = &after[name.len() + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            template.parts.push(Part::Literal(literal));
        }
        Ok(template)
    }

    /// The parameters of a text, each with the byte of its `$`; nothing from where the text is no template.
    pub fn offsets(text: &str) -> Vec<(usize, &str)> {
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(at) = text[from..].find("${").map(|at| from + at) {
            if text[from..at].ends_with('$') {
                from = at + 2;
                continue;
            }
            let Some(end) = text[at..].find('}').map(|end| at + end) else { break };
            found.push((at, &text[at + 2..end]));
            from = end + 1;
        }
        found
    }

    /// A template without parameters.
    pub fn literal(text: impl Into<String>) -> Template {
        let text = text.into();
        Template { parts: if text.is_empty() { Vec::new() } else { vec![Part::Literal(text)] } }
    }

    /// The names of its parameters, in order, with repeats.
    pub fn params(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Param(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// The text, if no parameter is in it.
    pub fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The parameter's name, if the template is one parameter and nothing else.
    pub fn as_param(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Param(name)] => Some(name),
            _ => None,
        }
    }

    /// The text with each parameter's value put in; the value is data and is not looked at again.
    ///
    /// # Errors
    /// The name of the first parameter that `value` does not know.
    pub fn complete(&self, value: impl Fn(&str) -> Option<String>) -> Result<String, &str> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Param(name) => text.push_str(&value(name).ok_or(name.as_str())?),
            }
        }
        Ok(text)
    }
}

fn fault(offset: usize, name: Option<&str>) -> TemplateFault {
    let message = match name {
        None => "`${` has no `}`; write `${name}`, or `$${` for a literal `${`".to_owned(),
        Some(name) => {
            let shown: String = name.chars().take(40).collect();
            format!("`${{{shown}}}` does not hold a parameter's name; write `${{name}}`, or `$${{` for a literal `${{`")
        }
    };
    TemplateFault { offset, message }
}

/// Whether a text can be the name of a metric, formula or parameter: `[A-Za-z_][A-Za-z0-9_]{0,127}`.
pub fn is_name(text: &str) -> bool {
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    begins && text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// As it is written in a file.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Literal(text) => f.write_str(&text.replace("${", "$${"))?,
                Part::Param(name) => write!(f, "${{{name}}}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn param(name: &str) -> Part {
        Part::Param(name.to_owned())
    }

    fn literal(text: &str) -> Part {
        Part::Literal(text.to_owned())
    }

    #[test]
    fn texts_and_parameters() {
        for (text, parts) in [
            ("", vec![]),
            ("plain $5 {x}", vec![literal("plain $5 {x}")]),
            ("${a}", vec![param("a")]),
            ("x-${a}${b}!", vec![literal("x-"), param("a"), param("b"), literal("!")]),
            ("$${a}", vec![literal("${a}")]),
            ("$${${a}", vec![literal("${"), param("a")]),
        ] {
            let template = Template::parse(text).unwrap();
            assert_eq!(template.parts, parts, "{text}");
            assert_eq!(template.to_string(), text);
        }
        for (text, offset) in [("${", 0), ("é${a", 2), ("${}", 0), ("${a b}", 0), ("${a${b}}", 0), ("${1}", 0)] {
            assert_eq!(Template::parse(text).unwrap_err().offset, offset, "{text}");
        }
    }

    #[test]
    fn a_value_is_data_and_is_not_looked_at_again() {
        let template = Template::parse("x${a}").unwrap();
        assert_eq!(template.complete(|_| Some("${a}\"".to_owned())).unwrap(), "x${a}\"");
        assert_eq!(template.complete(|_| None), Err("a"));
    }
}
