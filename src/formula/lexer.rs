//! Tokens with their places. evalexpr's errors have none, and its parser accepts more than the language, so this lexer goes
//! first: what it lets pass alternates operands and operators and is safe to hand on.

use std::ops::Range;

use super::template::{Template, is_name};
use super::{Fault, Function, MAX_DEPTH, MAX_LENGTH};

/// An operand, or the name of a call. evalexpr's tree has the same ones in the same order.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    pub kind: LeafKind,
    pub span: Range<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum LeafKind {
    Number(f64),
    Null,
    Text(Template),
    Name(Template),
    /// A function; its leaf's span reaches to the closing parenthesis.
    Call(Function),
}

/// Lexes an expression.
///
/// # Errors
/// The first fault; what follows it would only be guessed at.
pub fn lex(text: &str) -> Result<Vec<Leaf>, Fault> {
    // Bytes are at least characters, so that a huge text is refused without counting.
    if text.len() > 4 * MAX_LENGTH || text.chars().count() > MAX_LENGTH {
        let message = format!("an expression has at most {MAX_LENGTH} characters");
        return Err(fault("expression_limit", 0..text.len().min(1), message).hint("split it into several formulas"));
    }
    let mut lexer = Lexer { text, at: 0, leaves: Vec::new(), open: Vec::new(), prefixes: 0, operand: false };
    match lexer.run() {
        Ok(()) => Ok(lexer.leaves),
        Err(fault) if fault.hint.is_none() => Err(fault.hint("operands stand between operators: customers / visitors")),
        Err(fault) => Err(fault),
    }
}

/// How many operands and calls a text has, without parsing it: what compiling it costs goes by them. None where the text is
/// too long to be parsed at all.
pub fn count_operands(text: &str) -> usize {
    if text.len() > 4 * MAX_LENGTH {
        return 0;
    }
    let is_part = |byte: u8| !byte.is_ascii_whitespace() && !b"(),;+-*/%^=!<>&|".contains(&byte);
    let parts = text.bytes().map(is_part);
    let before = std::iter::once(false).chain(parts.clone());
    before.zip(parts).filter(|(before, now)| *now && !before).count()
}

/// A parenthesis that is open.
struct Open {
    /// Where it is.
    at: usize,
    /// The leaf of the call that it belongs to.
    call: Option<usize>,
    /// How many prefix operators stand before it.
    prefixes: usize,
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    leaves: Vec<Leaf>,
    open: Vec<Open>,
    /// Prefix operators before the operand that comes next.
    prefixes: usize,
    /// Whether an operand has just ended, so that an operator must follow.
    operand: bool,
}

pub(super) fn fault(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Fault {
    Fault { code, message: message.into(), span, hint: None }
}

impl Fault {
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.hint = Some(hint.into());
        self
    }
}

fn syntax(span: Range<usize>, message: impl Into<String>) -> Fault {
    fault("expression_syntax", span, message)
}

impl Lexer<'_> {
    fn run(&mut self) -> Result<(), Fault> {
        while let Some(next) = self.peek(0) {
            match next {
                next if next.is_whitespace() => self.at += next.len_utf8(),
                '(' => self.open_parenthesis()?,
                ')' => self.close_parenthesis()?,
                ',' => self.comma()?,
                '"' => self.string()?,
                '+' | '-' | '*' | '/' | '%' | '^' | '=' | '!' | '<' | '>' | '&' | '|' => self.operator(next)?,
                _ => self.word()?,
            }
        }
        if let Some(open) = self.open.last() {
            return Err(syntax(open.at..open.at + 1, "this parenthesis is not closed")
                .hint("add a `)`, or quote the expression: between `{` and `}` YAML ends it at a comma"));
        }
        if !self.operand {
            let end = self.text.trim_end().len();
            let place = end.saturating_sub(1)..end;
            return Err(match end {
                0 => syntax(0..0, "the expression is empty").hint("write one, such as `customers / visitors`"),
                _ => syntax(self.char_span(place.start), "the expression ends where an operand is expected"),
            });
        }
        Ok(())
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.text[self.at..].chars().nth(ahead)
    }

    /// The span of the character that a byte lies in.
    fn char_span(&self, byte: usize) -> Range<usize> {
        let mut start = byte;
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        start..start + self.text[start..].chars().next().map_or(0, char::len_utf8)
    }

    fn begin_operand(&self, span: Range<usize>) -> Result<(), Fault> {
        match self.operand {
            true => {
                let previous = self.text[..span.start].trim_end().rsplit(|c: char| !c.is_alphanumeric()).next();
                let hint = match [previous, self.text.get(span.clone())].into_iter().flatten().find_map(word_operator) {
                    Some(operator) => format!("write `{operator}`"),
                    None => "operands are joined by operators".to_owned(),
                };
                Err(syntax(span, "an operator is expected before this").hint(hint))
            }
            false => Ok(()),
        }
    }

    fn end_operand(&mut self) {
        self.operand = true;
        self.prefixes = 0;
    }

    fn open_parenthesis(&mut self) -> Result<(), Fault> {
        let span = self.at..self.at + 1;
        let call = self.leaves.len().checked_sub(1).filter(|_| self.operand);
        let call = call
            .filter(|last| matches!(self.leaves[*last].kind, LeafKind::Call(_)) && self.leaves[*last].span.end == 0);
        if call.is_none() {
            self.begin_operand(span.clone())?;
        }
        self.open.push(Open { at: self.at, call, prefixes: std::mem::take(&mut self.prefixes) });
        self.check_depth(span)?;
        self.operand = false;
        self.at += 1;
        Ok(())
    }

    fn check_depth(&self, span: Range<usize>) -> Result<(), Fault> {
        let prefixes: usize = self.open.iter().map(|open| open.prefixes).sum();
        if self.open.len() + prefixes + self.prefixes <= MAX_DEPTH {
            return Ok(());
        }
        let message = format!("parentheses and prefix operators are nested more than {MAX_DEPTH} levels deep");
        Err(fault("expression_limit", span, message).hint("split the expression into several formulas"))
    }

    fn close_parenthesis(&mut self) -> Result<(), Fault> {
        let span = self.at..self.at + 1;
        let Some(open) = self.open.pop() else {
            return Err(syntax(span, "there is no parenthesis that this closes").hint("remove it, or add a `(`"));
        };
        if !self.operand {
            return Err(syntax(span, "an operand is expected before this parenthesis")
                .hint("add it, or remove what stands before"));
        }
        self.at += 1;
        if let Some(call) = open.call {
            self.leaves[call].span.end = self.at;
        }
        self.end_operand();
        Ok(())
    }

    fn comma(&mut self) -> Result<(), Fault> {
        let span = self.at..self.at + 1;
        if self.open.last().is_none_or(|open| open.call.is_none()) {
            return Err(syntax(span, "a comma only separates the arguments of a function")
                .hint("remove it; decimals have a point"));
        }
        if !self.operand {
            return Err(syntax(span, "an argument is expected before this comma").hint("add it, or remove the comma"));
        }
        self.operand = false;
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let mut content = String::new();
        let mut rest = self.text[start + 1..].char_indices();
        let end = loop {
            match rest.next() {
                Some((at, '"')) => break start + 1 + at + 1,
                Some((at, '\\')) => match rest.next() {
                    Some((_, escaped @ ('"' | '\\'))) => content.push(escaped),
                    _ => {
                        let at = start + 1 + at;
                        let message = "only `\\\"` and `\\\\` can be escaped in a string";
                        return Err(syntax(at..at + 1, message).hint("write `\\\\` for a backslash"));
                    }
                },
                Some((at, control)) if control.is_control() => {
                    let message = "a control character cannot stand in a string";
                    return Err(syntax(self.char_span(start + 1 + at), message).hint("remove it"));
                }
                Some((_, other)) => content.push(other),
                None => return Err(syntax(start..start + 1, "this string is not closed").hint("add a `\"`")),
            }
        };
        self.begin_operand(start..end)?;
        let template =
            Template::parse(&content).map_err(|error| fault("invalid_template", start..end, error.message))?;
        self.leaves.push(Leaf { kind: LeafKind::Text(template), span: start..end });
        self.at = end;
        self.end_operand();
        Ok(())
    }

    fn operator(&mut self, first: char) -> Result<(), Fault> {
        let second = self.peek(1);
        let pair = self.at..self.at + 1 + usize::from(second == Some('=') || second == Some(first));
        let length = match (first, second) {
            ('/', Some('/' | '*')) => {
                return Err(syntax(self.at..self.at + 2, "an expression has no comments")
                    .hint("put it behind a `#` of the YAML"));
            }
            ('=', Some('=')) | ('!' | '<' | '>', Some('=')) | ('&', Some('&')) | ('|', Some('|')) => 2,
            ('=', _) => {
                return Err(
                    syntax(self.at..self.at + 1, "nothing is assigned in an expression").hint("compare with `==`")
                );
            }
            ('+' | '-' | '*' | '/' | '%' | '^', Some('=')) => {
                return Err(syntax(pair, "nothing is assigned in an expression").hint("write the operator without `=`"));
            }
            ('&' | '|', _) => {
                let message = format!("`{first}` is not an operator");
                return Err(syntax(self.at..self.at + 1, message).hint(format!("write `{first}{first}`")));
            }
            _ => 1,
        };
        let span = self.at..self.at + length;
        let assigns = length == 2 && matches!(first, '&' | '|') && self.peek(2) == Some('=');
        if assigns {
            return Err(syntax(span, "nothing is assigned in an expression").hint("write the operator without `=`"));
        }
        match (self.operand, first, length) {
            (true, '!', 1) => return Err(syntax(span, "`!` stands before its operand").hint("`!=` compares")),
            (true, ..) => self.operand = false,
            (false, '-' | '!', 1) => {
                self.prefixes += 1;
                self.check_depth(span)?;
            }
            (false, '+', _) => {
                return Err(syntax(span, "an operand is expected before `+`").hint("a number needs no plus sign"));
            }
            (false, ..) => {
                let message = format!("an operand is expected before `{}`", &self.text[span.clone()]);
                let before = self.text[..span.start].trim_end();
                let hint = match (before.chars().next_back(), first) {
                    (Some('*'), '*') => "the power is `^`",
                    (Some('<'), '>') => "write `!=`",
                    _ => "add the operand, or remove the operator",
                };
                return Err(syntax(span, message).hint(hint));
            }
        }
        self.at += length;
        Ok(())
    }

    /// A number, a name or a word of the language: all up to the next character that means something else to evalexpr.
    fn word(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let special = |c: char| c.is_whitespace() || "()\",;+-*/%^=!<>&|".contains(c);
        let length = self.text[start..].find(special).unwrap_or(self.text.len() - start);
        if length == 0 {
            return Err(syntax(start..start + 1, "an expression is one expression").hint("remove the `;`"));
        }
        let word = &self.text[start..start + length];
        let (kind, end) = match word.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
            true => self.number(start, word)?,
            false => (self.name(start, word)?, start + length),
        };
        self.begin_operand(start..end)?;
        // The end of a call is set when its parenthesis closes.
        let span = if matches!(kind, LeafKind::Call(_)) { start..0 } else { start..end };
        self.leaves.push(Leaf { kind, span });
        self.at = end;
        let prefixes = self.prefixes;
        self.end_operand();
        if matches!(self.leaves.last().map(|leaf| &leaf.kind), Some(LeafKind::Call(_))) {
            self.prefixes = prefixes;
            self.at = end + self.text[end..].find('(').unwrap_or(0);
        }
        Ok(())
    }

    /// A number as evalexpr reads it: `12`, `1.5`, `.5`, `1e5`, `1e-5`, `0x1F`.
    fn number(&self, start: usize, word: &str) -> Result<(LeafKind, usize), Fault> {
        let mut end = start + word.len();
        let mut text = word;
        let following = &self.text[end..];
        if word.ends_with(['e', 'E']) && !word.starts_with("0x") && following.starts_with(['+', '-']) {
            let digits = following[1..].find(|c: char| !c.is_ascii_digit()).unwrap_or(following.len() - 1);
            end += 1 + digits;
            text = &self.text[start..end];
        }
        let hex = text.strip_prefix("0x").map(|digits| i64::from_str_radix(digits, 16).map(|number| number as f64));
        let plain = || text.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
        let number = match hex {
            Some(number) => number.ok(),
            None => text.parse::<f64>().ok().filter(|_| plain()),
        };
        match number {
            Some(number) if number.is_finite() => Ok((LeafKind::Number(number), end)),
            Some(_) => Err(syntax(start..end, "this number is too large").hint("64-bit floats end at about 1.8e308")),
            None => {
                let hint = match text.replace('_', "").parse::<f64>() {
                    Ok(_) => format!("write {}, without `_`", text.replace('_', "")),
                    Err(_) => "write it as 1000, 0.5 or 1e3; names begin with a letter or `_`".to_owned(),
                };
                Err(syntax(start..end, format!("`{}` is not a number", shorten(text))).hint(hint))
            }
        }
    }

    fn name(&self, start: usize, word: &str) -> Result<LeafKind, Fault> {
        let span = start..start + word.len();
        if let Some(at) = word.find(|c: char| !c.is_ascii_alphanumeric() && !"_${}".contains(c)) {
            return Err(self.strange(start + at));
        }
        let template = Template::parse(word).map_err(|error| fault("invalid_template", span.clone(), error.message))?;
        let plain: String = template.complete(|_| Some("x".to_owned())).unwrap_or_default();
        if !is_name(&plain) {
            let message = format!("`{}` is not a name", shorten(word));
            return Err(
                syntax(span, message).hint("names are letters, digits and `_`, at most 128; `${name}` is a parameter")
            );
        }
        let call = self.text[span.end..].trim_start().starts_with('(');
        let function = template.as_literal().and_then(Function::from_name);
        match (word, function, call) {
            (_, Some(function), true) => Ok(LeafKind::Call(function)),
            (_, Some(_), false) => {
                Err(syntax(span, format!("`{word}` is a function")).hint(format!("call it: `{word}(…)`")))
            }
            (_, None, true) => Err(unknown_function(span, word)),
            ("null", ..) => Ok(LeafKind::Null),
            ("true", ..) => Ok(LeafKind::Number(1.0)),
            ("false", ..) => Ok(LeafKind::Number(0.0)),
            _ => match word.to_ascii_lowercase().as_str() {
                lower @ ("null" | "true" | "false") => {
                    Err(syntax(span, format!("`{word}` is a reserved word")).hint(format!("write `{lower}`")))
                }
                "inf" | "infinity" | "nan" => Err(syntax(span, format!("`{word}` is a reserved word"))
                    .hint("only finite numbers exist; `null` is no value")),
                _ => Ok(LeafKind::Name(template)),
            },
        }
    }

    /// A character that the language does not have; look-alikes get their meaning as a hint.
    fn strange(&self, at: usize) -> Fault {
        let span = self.char_span(at);
        let text = &self.text[span.clone()];
        let shown = crate::diagnostic::visible(text);
        let hint = match text {
            "−" | "–" | "—" | "－" => "write `-`",
            "×" | "·" | "∗" => "write `*`",
            "÷" | "∕" => "write `/`",
            "“" | "”" | "„" | "'" | "`" | "‘" | "’" => "strings have double quotes: \"…\"",
            "≤" => "write `<=`",
            "≥" => "write `>=`",
            "≠" => "write `!=`",
            "[" | "]" => "group with parentheses",
            "." => "a name has no points; the stored name stands in the metric's `series`",
            "?" | ":" => "write `if(condition, a, b)`",
            _ => "names are ASCII letters, digits and `_`",
        };
        syntax(span, format!("`{shown}` is not part of the language")).hint(hint)
    }
}

/// The operator that other languages write as a word.
fn word_operator(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "and" => Some("&&"),
        "or" => Some("||"),
        "not" => Some("!"),
        "mod" => Some("%"),
        "is" | "eq" => Some("=="),
        _ => None,
    }
}

fn unknown_function(span: Range<usize>, word: &str) -> Fault {
    let alike = |name: &str| strsim::jaro_winkler(name, word);
    let similar = Function::ALL.map(Function::name).into_iter().max_by(|a, b| alike(a).total_cmp(&alike(b)));
    let similar = similar.filter(|name| alike(name) > 0.9).map(|name| (0, name));
    let nearest = Function::ALL
        .iter()
        .map(|function| (strsim::damerau_levenshtein(function.name(), word), function.name()))
        .min()
        .filter(|(distance, name)| *distance <= 2.max(name.len() / 3));
    let hint = match nearest.or(similar) {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None => format!("there are {}", Function::ALL.map(Function::name).join(", ")),
    };
    fault("unknown_function", span, format!("there is no function `{}`", shorten(word))).hint(hint)
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
