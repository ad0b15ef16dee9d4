//! Regular expressions that members subscribe to, looked up by the coordinator (KIP-848).
//!
//! Kafka uses RE2J and wants the whole name to match. Rust's `regex` has the same guarantees (time linear in the name) and almost the
//! same syntax; it searches, so the expression is anchored. The compiled size is bounded.

use std::collections::BTreeSet;
use std::sync::Arc;

use regex_syntax::ast::{self, Ast, RepetitionKind, RepetitionRange};
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
    check_repetitions(text).map_err(|reason| invalid(reason.to_owned()))?;
    // Alone first: a stray parenthesis must not pair with those around it.
    build(text).map_err(|error| invalid(error.to_string()))?;
    build(&format!("^(?:{text})$")).map_err(|error| invalid(error.to_string()))
}

/// What RE2J refuses of repetitions and Rust's `regex` takes: `a**` and `a*+`, which elsewhere mean something else, and large numbers.
/// A text that is no expression at all is left to the compiler's better message.
fn check_repetitions(text: &str) -> Result<(), &'static str> {
    struct Repetitions;
    impl ast::Visitor for Repetitions {
        type Output = ();
        type Err = &'static str;

        fn finish(self) -> Result<(), Self::Err> {
            Ok(())
        }

        fn visit_pre(&mut self, ast: &Ast) -> Result<(), Self::Err> {
            let Ast::Repetition(repetition) = ast else { return Ok(()) };
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
    }
    ast::parse::Parser::new().parse(text).map_or(Ok(()), |parsed| ast::visit(&parsed, Repetitions))
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
        ] {
            assert_eq!(compile(regex).unwrap().is_match(name), matches, "{regex} {name}");
        }
    }

    #[test]
    fn what_is_no_expression_or_explodes_is_refused() {
        let nested = "(".repeat(300) + &")".repeat(300);
        let long = "a".repeat(GROUP_REGEX_BYTES_MAX + 1);
        let repeated = ["a**", "a*+", "a+{2}", "a{2}{3}", "a{1001}", "a{1001,}", "a{1,1001}"];
        let others = ["(", "a)(b", "*", "(?=x)", "\\1", "((a{100}){100}){100}", &nested, &long, "[z-a]"];
        for regex in repeated.into_iter().chain(others) {
            let error = compile(regex).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidRegularExpression, "{regex}");
        }
    }
}
