//! Our names and tags ⇄ those that a server can keep.

use std::borrow::Cow;

use super::message::NAME_LABEL;

/// Which characters names of stored series and of tags may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// All.
    AsTheyAre,
    /// `[A-Za-z0-9_:]`; others become `_`.
    Legacy,
    /// What Prometheus takes: as legacy, without a digit at the beginning, and without `:` in tags.
    Prometheus,
}

/// A tag that no stored series can have: it would stand for the name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a tag named `{NAME_LABEL}` cannot be told from the name of the series; give the tag another name")]
pub struct ReservedTag;

impl Names {
    /// The stored name of a series.
    pub fn series(self, name: &str) -> Cow<'_, str> {
        self.replaced(name, |c| c == ':')
    }

    /// A pattern of our names as one of stored names; `*` stays any text.
    pub fn pattern(self, pattern: &str) -> String {
        pattern.split('*').map(|piece| self.replaced(piece, |c| c == ':')).collect::<Vec<_>>().join("*")
    }

    /// The label of a tag.
    ///
    /// # Errors
    /// When the tag would become the label of the name itself.
    pub fn label(self, tag: &str) -> Result<Cow<'_, str>, ReservedTag> {
        let label = self.replaced(tag, |c| c == ':' && self == Names::Legacy);
        if label == NAME_LABEL { Err(ReservedTag) } else { Ok(label) }
    }

    fn replaced(self, name: &str, also: impl Fn(char) -> bool) -> Cow<'_, str> {
        let digit_first = self == Names::Prometheus && name.starts_with(|c: char| c.is_ascii_digit());
        let bears = |c: char| c.is_ascii_alphanumeric() || c == '_' || also(c);
        if self == Names::AsTheyAre || (!digit_first && name.chars().all(bears)) {
            return Cow::Borrowed(name);
        }
        let stored = |(index, c): (usize, char)| if bears(c) && !(digit_first && index == 0) { c } else { '_' };
        Cow::Owned(name.chars().enumerate().map(stored).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_characters_that_the_server_bears() {
        for (name, legacy, prometheus) in [
            ("expo.visitors", "expo_visitors", "expo_visitors"),
            ("a:b", "a:b", "a:b"),
            ("żółć 7", "_____7", "_____7"),
            ("7up", "7up", "_up"),
            ("", "", ""),
        ] {
            assert_eq!(Names::AsTheyAre.series(name), name);
            assert_eq!(Names::Legacy.series(name), legacy);
            assert_eq!(Names::Prometheus.series(name), prometheus);
        }
        assert_eq!(Names::Legacy.label("user.id:x").unwrap(), "user_id:x");
        assert_eq!(Names::Prometheus.label("user.id:x").unwrap(), "user_id_x");
        assert_eq!(Names::AsTheyAre.label("__name__"), Err(ReservedTag));
        assert_eq!(Names::Legacy.label(".-name__"), Err(ReservedTag));
    }
}
