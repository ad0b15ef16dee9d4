//! Texts become typed values, and values the texts DescribeConfigs prints.
//!
//! Parsing follows Kafka: surrounding blanks do not count, numbers are decimal, booleans may be in any case, lists
//! are split at commas.

use std::fmt;

use super::def::{ConfigDef, ConfigKind, Rule, Support};
use super::error::ConfigError;
use super::plugins::PluginBinding;

/// A parsed value. [`fmt::Display`] prints it in the one form Kafka prints it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a boolean setting.
    Bool(bool),
    /// Of an int, short or long setting.
    Number(i64),
    /// Of a double setting; finite.
    Double(f64),
    /// Of a string setting.
    Text(String),
    /// Of a list setting.
    List(Vec<String>),
}

impl Value {
    /// The number of an integer setting; 0 where the definition is of another type (the tables' tests exclude it).
    pub(super) fn number(&self) -> i64 {
        match self {
            Self::Number(n) => *n,
            _ => 0,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(v) => write!(f, "{v}"),
            Self::Number(v) => write!(f, "{v}"),
            // Java prints 1.0 as "1.0" and turns to exponents below a thousandth.
            Self::Double(v) if *v != 0.0 && v.abs() < 1e-3 => {
                let text = format!("{v:E}");
                match text.split_once('E') {
                    Some((digits, exponent)) if !digits.contains('.') => {
                        write!(f, "{digits}.0E{exponent}")
                    }
                    _ => f.write_str(&text),
                }
            }
            Self::Double(v) => write!(f, "{v:?}"),
            Self::Text(v) => f.write_str(v),
            Self::List(v) => f.write_str(&v.join(",")),
        }
    }
}

impl ConfigDef {
    fn invalid(&self, text: &str, problem: impl Into<String>) -> ConfigError {
        // A value may be as long as a request; the message quotes its beginning.
        let value = if text.len() > 128 { text.chars().take(125).chain("...".chars()).collect() } else { text.into() };
        ConfigError::Invalid { name: self.name, value, problem: problem.into() }
    }

    /// Parses a value and checks the setting's own rule.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] where the text is not of the type or breaks the rule.
    pub fn parse(&self, text: &str) -> Result<Value, ConfigError> {
        let trimmed = text.trim();
        let wrong_type = || self.invalid(text, format!("{} is expected", self.kind.expected()));
        let value = match self.kind {
            ConfigKind::Boolean if trimmed.eq_ignore_ascii_case("true") => Value::Bool(true),
            ConfigKind::Boolean if trimmed.eq_ignore_ascii_case("false") => Value::Bool(false),
            ConfigKind::Boolean => return Err(wrong_type()),
            ConfigKind::String => Value::Text(trimmed.to_owned()),
            ConfigKind::Short => Value::Number(trimmed.parse::<i16>().map_err(|_| wrong_type())?.into()),
            ConfigKind::Int => Value::Number(trimmed.parse::<i32>().map_err(|_| wrong_type())?.into()),
            ConfigKind::Long => Value::Number(trimmed.parse::<i64>().map_err(|_| wrong_type())?),
            ConfigKind::Double => {
                let number = trimmed.parse::<f64>().ok().filter(|n| n.is_finite()).ok_or_else(wrong_type)?;
                Value::Double(number)
            }
            ConfigKind::List if trimmed.is_empty() => Value::List(Vec::new()),
            ConfigKind::List => Value::List(trimmed.split(',').map(|item| item.trim().to_owned()).collect()),
        };
        self.obey(&value).map_err(|problem| self.invalid(text, problem))?;
        Ok(value)
    }

    fn obey(&self, value: &Value) -> Result<(), String> {
        let fine = match (&self.rule, value) {
            (Rule::AtLeast(min), Value::Number(n)) => n >= min,
            (Rule::AtLeast(min), Value::Double(n)) => *n >= *min as f64,
            (Rule::Between(min, max), Value::Number(n)) => (min..=max).contains(&n),
            (Rule::Between(min, max), Value::Double(n)) => (*min as f64..=*max as f64).contains(n),
            (Rule::BetweenOr(min, max, other), Value::Number(n)) => (min..=max).contains(&n) || n == other,
            (Rule::OneOf(names), Value::Text(text)) => names.contains(&text.as_str()),
            (Rule::OneOfAnyCase(names), Value::Text(text)) => names.iter().any(|name| name.eq_ignore_ascii_case(text)),
            (Rule::ListOf(names), Value::List(items)) => {
                once_each(items)?;
                items.iter().all(|item| names.contains(&item.as_str()))
            }
            (Rule::Assignors, Value::List(items)) => {
                once_each(items)?;
                !items.is_empty() && items.iter().all(|item| !item.is_empty())
            }
            (Rule::Plugin(_), Value::Text(text)) => text.is_empty() || PluginBinding::parse(text).is_some(),
            (Rule::Plugins(_), Value::List(items)) => {
                let bindings: Option<Vec<_>> = items.iter().map(|item| PluginBinding::parse(item)).collect();
                let names = bindings.iter().flatten().map(|binding| binding.name.clone()).collect::<Vec<_>>();
                once_each(&names)?;
                bindings.is_some()
            }
            _ => true,
        };
        if fine { Ok(()) } else { Err(format!("it must be {}", self.rule.expected())) }
    }

    /// Parses a value that somebody wants to set: [`ConfigDef::parse`], and a refusal where the setting does not
    /// do its work yet and the value is not the default.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] as for `parse`, and for what cannot be honoured.
    pub fn check(&self, text: &str) -> Result<Value, ConfigError> {
        let value = self.parse(text)?;
        match self.support {
            Support::DefaultOnly(why) if Some(value.to_string().as_str()) != self.default => {
                let default = match self.default {
                    Some("") => "only the empty default is accepted".to_owned(),
                    Some(default) => format!("only the default, {default}, is accepted"),
                    None => "it can only be left out".to_owned(),
                };
                Err(self.invalid(text, format!("{why}; {default}")))
            }
            _ => Ok(value),
        }
    }
}

fn once_each(items: &[String]) -> Result<(), String> {
    match items.iter().enumerate().find(|(i, item)| items[..*i].contains(item)) {
        Some((_, item)) => Err(format!("{item} stands in the list twice")),
        None => Ok(()),
    }
}
