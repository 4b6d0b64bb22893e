//! Lines of a file in bounded memory: numbered, without their ends, each a text or the reason why it is none.

use std::io::{self, BufRead, BufReader, Read};

/// The longest line, in bytes.
pub(super) const MAX_LINE: usize = 1 << 20;

pub(super) struct Lines<R: Read> {
    input: BufReader<R>,
    line: Vec<u8>,
    number: u64,
    bytes: u64,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(input: R) -> Lines<R> {
        Lines { input: BufReader::with_capacity(1 << 16, input), line: Vec::new(), number: 0, bytes: 0 }
    }

    /// Bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next line that is not blank, and its number from 1.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Result<&str, String>)>> {
        let length = loop {
            let Some(length) = self.read_line()? else { return Ok(None) };
            if length > MAX_LINE || !self.line.trim_ascii().is_empty() {
                break length;
            }
        };
        let text = if length > MAX_LINE {
            Err(format!("the line has {length} bytes, over the limit of {MAX_LINE}"))
        } else {
            std::str::from_utf8(&self.line)
                .map_err(|fault| format!("not UTF-8, from byte {} of the line", fault.valid_up_to() + 1))
        };
        Ok(Some((self.number, text)))
    }

    /// Reads a line without its end. What is beyond the limit is counted, not kept.
    fn read_line(&mut self) -> io::Result<Option<usize>> {
        self.line.clear();
        let mut length = 0;
        loop {
            let buffer = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                buffer => buffer?,
            };
            if buffer.is_empty() && length == 0 {
                return Ok(None);
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let part = end.unwrap_or(buffer.len());
            let kept = part.min((MAX_LINE + 1).saturating_sub(self.line.len()));
            self.line.extend_from_slice(&buffer[..kept]);
            length += part;
            let ended = end.is_some() || buffer.is_empty();
            let consumed = part + usize::from(end.is_some());
            self.input.consume(consumed);
            self.bytes += consumed as u64;
            if ended {
                self.number += 1;
                return Ok(Some(self.without_marks(length)));
            }
        }
    }

    /// Takes off the carriage return at the end, and the byte order mark at the start of the file.
    fn without_marks(&mut self, length: usize) -> usize {
        if length > MAX_LINE + 1 {
            return length;
        }
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        if self.number == 1 && self.line.starts_with(b"\xef\xbb\xbf") {
            self.line.drain(..3);
        }
        self.line.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8]) -> Vec<(u64, Result<String, String>)> {
        let mut lines = Lines::new(input);
        let mut found = Vec::new();
        while let Some((number, text)) = lines.next().unwrap() {
            found.push((number, text.map(str::to_owned)));
        }
        assert_eq!(lines.bytes(), input.len() as u64);
        found
    }

    #[test]
    fn marks_and_blank_lines_are_dropped() {
        let lines = all(b"\xef\xbb\xbfa\r\n\n  \r\n b\nc");
        assert_eq!(lines, [(1, Ok("a".into())), (4, Ok(" b".into())), (5, Ok("c".into()))]);
        assert!(all(b"").is_empty() && all(b"\n\n").is_empty());
    }

    #[test]
    fn long_lines_and_other_encodings_are_named_and_the_next_line_is_read() {
        let mut input = vec![b'x'; MAX_LINE];
        input.extend(b"\r\n");
        input.extend(vec![b'y'; 3 * MAX_LINE]);
        input.extend(b"\nok\nb\xffd\n");
        let lines = all(&input);
        assert!(lines[0].1.is_ok());
        assert_eq!(lines[1].1, Err("the line has 3145728 bytes, over the limit of 1048576".into()));
        assert_eq!(lines[2..], [(3, Ok("ok".into())), (4, Err("not UTF-8, from byte 2 of the line".into()))]);
    }
}
