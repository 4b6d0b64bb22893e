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
        let _ = text;
        todo!("formula helper")
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
    pub fn complete<'a>(&'a self, value: impl Fn(&str) -> Option<String>) -> Result<String, &'a str> {
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
