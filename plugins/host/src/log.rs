//! What a plugin may write into the broker's log.

/// The longest line, in bytes; what is longer is cut.
pub const LOG_LINE_BYTES_MAX: usize = 256;

/// A plugin's text as one line of the log: cut to [`LOG_LINE_BYTES_MAX`], control characters escaped, so that it can neither
/// fill the log nor pose as another line.
#[must_use]
pub fn log_line(text: &[u8]) -> String {
    let cut = &text[..text.len().min(LOG_LINE_BYTES_MAX)];
    let mut line = String::with_capacity(cut.len());
    for c in String::from_utf8_lossy(cut).chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(log_line(b"two\nlines \x1b[31mred \xff"), "two\\nlines \\u{1b}[31mred \u{fffd}");
        assert_eq!(log_line(&[b'x'; 1000]).len(), LOG_LINE_BYTES_MAX);
    }
}
