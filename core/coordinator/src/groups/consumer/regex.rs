//! Regular expressions that members subscribe to, looked up by the coordinator (KIP-848).
//!
//! Kafka uses RE2J and wants the whole name to match. Rust's `regex` has the same guarantees (time linear in the name) and almost the
//! same syntax: what differs is translated or refused. It searches, so the expression is anchored. The compiled size is bounded.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use regex_syntax::ast::{self, AssertionKind, Ast, Flag, FlagsItemKind, RepetitionKind, RepetitionRange};
use watershed_metadata::MetadataImage;
use watershed_model::limits::{GROUP_REGEX_BYTES_MAX, GROUP_REGEX_COMPILED_BYTES_MAX};
use watershed_protocol::ErrorCode;

use super::group::{ConsumerGroup, Resolved, ResolvedExpressions};
use super::leave::regex_tombstone;
use super::member::ConsumerMember;
use crate::groups::{GroupCoordinator, GroupError, Output};
use crate::records::{ConsumerGroupRegularExpressionValue, GroupRecord};
use crate::runtime::Now;

/// How often RE2J lets something be repeated by a number.
const REPEAT_MAX: u32 = 1000;

impl GroupCoordinator {
    /// Brings a group's regular expressions up to date with what a member says now, and with the topics that there are. Gives what they
    /// match now where that is new, and whether the member's own subscription has changed by it.
    ///
    /// # Errors
    /// INVALID_REGULAR_EXPRESSION.
    pub(super) fn update_regular_expressions(
        &self,
        group: &ConsumerGroup,
        before: &ConsumerMember,
        after: &ConsumerMember,
        now: Now,
        out: &mut Output,
    ) -> Result<(Option<ResolvedExpressions>, bool), GroupError> {
        let (old, new) = (before.regex(), after.regex());
        let has_changed = before.about.regex.as_deref() != after.about.regex.as_deref() && old != new;
        if !has_changed && group.resolved.is_empty() && new.is_none() {
            return Ok((None, false));
        }
        let mut resolved = group.resolved.clone();
        let mut is_new = false;
        if has_changed
            && let Some(old) = old
            && group.regex_count(old) == 1
        {
            out.write(regex_tombstone(&group.group_id, old));
            is_new |= resolved.remove(old).is_some();
        }
        let is_due = self.must_look_up(group, now);
        let mut wanted: BTreeSet<&Arc<str>> = group.regexes().filter(|regex| resolved.contains_key(*regex)).collect();
        wanted.extend(new);
        for regex in wanted {
            let known = resolved.get(regex);
            if known.is_some() && !is_due {
                continue;
            }
            let topics = self.look_up(regex)?;
            let same = known.is_some_and(|known| *known.topics == topics);
            let found = Resolved { topics: Arc::new(topics), version: self.topics_version, at: now.wall };
            // What has not changed is written again only now and then, to say that it was looked up.
            if !same || is_due {
                out.write(resolved_record(&group.group_id, regex, &found));
            }
            is_new |= !same;
            resolved.insert(Arc::clone(regex), found);
        }
        Ok((is_new.then_some(resolved), has_changed))
    }

    /// New topics, or time, may have changed what is matched.
    fn must_look_up(&self, group: &ConsumerGroup, now: Now) -> bool {
        let interval_ms = i64::try_from(self.settings.consumer_regex_refresh_interval_ms).unwrap_or(i64::MAX);
        group.resolved.values().any(|resolved| {
            resolved.version != self.topics_version || now.wall.0.saturating_sub(resolved.at.0) > interval_ms
        })
    }

    fn look_up(&self, regex: &str) -> Result<BTreeSet<String>, GroupError> {
        let compiled = compile(regex)?;
        Ok(matching(&self.image, &compiled))
    }
}

fn matching(image: &MetadataImage, regex: &regex::Regex) -> BTreeSet<String> {
    let names = image.topics().map(|topic| topic.name());
    names.filter(|name| regex.is_match(name)).map(|name| name.to_string()).collect()
}

fn compile(text: &str) -> Result<regex::Regex, GroupError> {
    let invalid = |reason: String| {
        let message = format!("SubscribedTopicRegex `{text}` is not a valid regular expression: {reason}.");
        GroupError::new(ErrorCode::InvalidRegularExpression, message)
    };
    if text.len() > GROUP_REGEX_BYTES_MAX {
        let message = format!("SubscribedTopicRegex is longer than {GROUP_REGEX_BYTES_MAX} bytes.");
        return Err(GroupError::new(ErrorCode::InvalidRegularExpression, message));
    }
    let text = &*translated(text);
    check(text).map_err(|reason| invalid(reason.to_owned()))?;
    // Alone first: a stray parenthesis must not pair with those around it.
    build(text).map_err(|error| invalid(error.to_string()))?;
    build(&format!("^(?:{text})$")).map_err(|error| invalid(error.to_string()))
}

/// The expression in Rust's syntax, where RE2J's means something else or is not known: `\Q...\E` is text, and in a class `[`, `&&` and
/// `~~` are only characters.
fn translated(text: &str) -> Cow<'_, str> {
    if !text.contains(['\\', '[']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut in_class = false;
    while let Some(first) = rest.chars().next() {
        let taken = match (first, in_class) {
            ('\\', false) if rest.starts_with("\\Q") => {
                let quoted = &rest[2..];
                let end = quoted.find("\\E").unwrap_or(quoted.len());
                out.push_str(&regex_syntax::escape(&quoted[..end]));
                rest = quoted[end..].strip_prefix("\\E").unwrap_or_default();
                continue;
            }
            ('\\', _) => 1 + rest.chars().nth(1).map_or(0, char::len_utf8),
            ('[', false) => {
                in_class = true;
                // A `]` that comes first is a member of the class.
                let begin = if rest[1..].starts_with('^') { 2 } else { 1 };
                begin + usize::from(rest[begin..].starts_with(']'))
            }
            (']', true) => {
                in_class = false;
                1
            }
            ('[', true) => match rest.strip_prefix("[:").and_then(|named| named.find(":]")) {
                Some(end) => end + 4,
                None => {
                    out.push('\\');
                    1
                }
            },
            ('&' | '~', true) => {
                out.push('\\');
                1
            }
            _ => first.len_utf8(),
        };
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    Cow::Owned(out)
}

/// What RE2J refuses and Rust's `regex` takes: `a**` and `a*+`, which elsewhere mean something else, large repetitions, flags that it does
/// not have. A text that is no expression at all is left to the compiler's better message.
fn check(text: &str) -> Result<(), &'static str> {
    struct Check;
    impl ast::Visitor for Check {
        type Output = ();
        type Err = &'static str;

        fn finish(self) -> Result<(), Self::Err> {
            Ok(())
        }

        fn visit_pre(&mut self, ast: &Ast) -> Result<(), Self::Err> {
            match ast {
                Ast::Repetition(repetition) => check_repetition(repetition),
                Ast::Flags(set) => check_flags(&set.flags),
                Ast::Group(group) => group.flags().map_or(Ok(()), check_flags),
                Ast::Assertion(assertion) => check_assertion(&assertion.kind),
                _ => Ok(()),
            }
        }

        fn visit_class_set_binary_op_pre(&mut self, _: &ast::ClassSetBinaryOp) -> Result<(), Self::Err> {
            Err("a class has no operators")
        }
    }
    ast::parse::Parser::new().parse(text).map_or(Ok(()), |parsed| ast::visit(&parsed, Check))
}

fn check_repetition(repetition: &ast::Repetition) -> Result<(), &'static str> {
    if matches!(*repetition.ast, Ast::Repetition(_)) {
        return Err("a repetition is repeated; put it in parentheses");
    }
    let most = match &repetition.op.kind {
        RepetitionKind::Range(RepetitionRange::Exactly(count) | RepetitionRange::AtLeast(count)) => *count,
        RepetitionKind::Range(RepetitionRange::Bounded(from, to)) => *from.max(to),
        RepetitionKind::ZeroOrOne | RepetitionKind::ZeroOrMore | RepetitionKind::OneOrMore => 0,
    };
    if most > REPEAT_MAX { Err("it repeats something more than 1000 times") } else { Ok(()) }
}

fn check_assertion(kind: &AssertionKind) -> Result<(), &'static str> {
    match kind {
        AssertionKind::StartLine
        | AssertionKind::EndLine
        | AssertionKind::StartText
        | AssertionKind::EndText
        | AssertionKind::WordBoundary
        | AssertionKind::NotWordBoundary => Ok(()),
        _ => Err("the assertions are ^, $, \\A, \\z, \\b and \\B"),
    }
}

fn check_flags(flags: &ast::Flags) -> Result<(), &'static str> {
    let known = |item: &ast::FlagsItem| match item.kind {
        FlagsItemKind::Negation => true,
        FlagsItemKind::Flag(flag) => {
            matches!(flag, Flag::CaseInsensitive | Flag::MultiLine | Flag::DotMatchesNewLine | Flag::SwapGreed)
        }
    };
    if flags.items.iter().all(known) { Ok(()) } else { Err("the flags are i, m, s and U") }
}

fn build(text: &str) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(text)
        .size_limit(GROUP_REGEX_COMPILED_BYTES_MAX)
        .dfa_size_limit(GROUP_REGEX_COMPILED_BYTES_MAX)
        .build()
}

fn resolved_record(group_id: &str, regex: &str, resolved: &Resolved) -> GroupRecord {
    GroupRecord::ConsumerGroupRegularExpression {
        group_id: group_id.to_owned(),
        regular_expression: regex.to_owned(),
        value: Some(ConsumerGroupRegularExpressionValue {
            topics: resolved.topics.iter().cloned().collect(),
            version: resolved.version,
            timestamp: resolved.at.0,
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_whole_name_must_match() {
        for (regex, name, matches) in [
            ("orders", "orders", true),
            ("order", "orders", false),
            ("orders|payments", "payments", true),
            ("orders|pay", "payments", false),
            ("foo.*", "foobar", true),
            ("(?i)FOO.*", "foobar", true),
            ("", "x", false),
            ("(a{2}){3}", "aaaaaa", true),
            ("a{1000}", "a", false),
            ("a+?b*?", "aab", true),
            ("\\Qa.b\\E", "a.b", true),
            ("\\Qa.b\\E", "axb", false),
            ("\\Qa.b\\E+", "a.bbb", true),
            ("x\\Q", "x", true),
            ("\\Q(", "(", true),
            ("\\\\Q", "\\Q", true),
            ("\\Q\\E|b", "b", true),
            ("[o&&x]ne", "xne", true),
            ("[[o]ne", "one", true),
            ("[]a]b", "]b", true),
            ("[^]a]b", "cb", true),
            ("[[:alpha:]&]+", "a&", true),
            ("[\\]~~]+", "]~", true),
            ("(?i:A)(?-i)b", "ab", true),
        ] {
            assert_eq!(compile(regex).unwrap().is_match(name), matches, "{regex} {name}");
        }
    }

    #[test]
    fn what_is_no_expression_or_explodes_is_refused() {
        let nested = "(".repeat(300) + &")".repeat(300);
        let long = "a".repeat(GROUP_REGEX_BYTES_MAX + 1);
        let repeated = ["a**", "a*+", "a+{2}", "a{2}{3}", "a{1001}", "a{1001,}", "a{1,1001}"];
        let others = [
            "(",
            "a)(b",
            "*",
            "(?=x)",
            "\\1",
            "((a{100}){100}){100}",
            &nested,
            &long,
            "[z-a]",
            "(?x)a b",
            "(?u)a",
            "(?R:a)",
            "[a--b]",
            "[\\Qa\\E]",
        ];
        for regex in repeated.into_iter().chain(others) {
            let error = compile(regex).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidRegularExpression, "{regex}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_an_expression_or_refused(text in "(\\\\[QE\\\\]|[\\[\\]\\^&~:a()é]|\\[:alpha:\\]){0,12}") {
            // It must neither panic nor hang; what it says is checked above.
            let _ = compile(&text);
        }

        #[test]
        fn quoted_text_matches_itself_alone(text in "[^\\\\]{0,20}", other in "[a-z.]{0,3}") {
            let compiled = compile(&format!("\\Q{text}\\E")).unwrap();
            assert!(compiled.is_match(&text));
            assert_eq!(compiled.is_match(&other), text == other);
        }
    }
}
