//! One setting's definition: name, type, default, rule, documentation and the broker settings behind it.
//!
//! Definitions are constants built by the `const fn`s below, so a table is data and costs nothing at start.

/// The type of a setting, with the numbers DescribeConfigs uses for it (KIP-569).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i8)]
pub enum ConfigKind {
    /// `true` or `false`.
    Boolean = 1,
    /// Any text.
    String = 2,
    /// A 32-bit integer.
    Int = 3,
    /// A 16-bit integer.
    Short = 4,
    /// A 64-bit integer.
    Long = 5,
    /// A floating-point number.
    Double = 6,
    /// Texts separated by commas.
    List = 7,
}

impl ConfigKind {
    /// The number DescribeConfigs carries for this type.
    #[must_use]
    pub const fn code(self) -> i8 {
        self as i8
    }

    /// What a value of this type is called in an error message.
    #[must_use]
    pub const fn expected(self) -> &'static str {
        match self {
            Self::Boolean => "true or false",
            Self::String => "a text",
            Self::Int => "a 32-bit integer",
            Self::Short => "a 16-bit integer",
            Self::Long => "a 64-bit integer",
            Self::Double => "a number",
            Self::List => "a list of texts separated by commas",
        }
    }
}

/// What a value must satisfy beyond its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Any value of the type.
    Any,
    /// A number not below this one.
    AtLeast(i64),
    /// A number between these two, both included.
    Between(i64, i64),
    /// A number between these two, or the third, which stands for "the codec's own default".
    BetweenOr(i64, i64, i64),
    /// One of these texts, in this spelling.
    OneOf(&'static [&'static str]),
    /// One of these texts, in upper or lower case.
    OneOfAnyCase(&'static [&'static str]),
    /// A list of these texts, none twice; the empty list is allowed.
    ListOf(&'static [&'static str]),
    /// The name of a storage backend that this broker has.
    Storage,
    /// Names of assignors that this broker has, at least one and none twice.
    Assignors,
    /// A plugin of this broker that serves this hook, a state behind the name (see [`PluginBinding`](super::PluginBinding)).
    Plugin(&'static str),
    /// Plugins of this broker that serve this hook, none twice.
    Plugins(&'static str),
}

impl Rule {
    /// What is expected, for messages and documentation; empty where anything goes.
    #[must_use]
    pub fn expected(&self) -> String {
        match self {
            Self::Any => String::new(),
            Self::AtLeast(min) => format!("at least {min}"),
            Self::Between(min, max) => format!("between {min} and {max}"),
            Self::BetweenOr(min, max, other) => format!("between {min} and {max}, or {other}"),
            Self::OneOf(names) | Self::OneOfAnyCase(names) => format!("one of {}", names.join(", ")),
            Self::ListOf(names) => format!("a list of {}", names.join(", ")),
            Self::Storage => "a storage backend of this broker".to_owned(),
            Self::Assignors => "a list of assignors of this broker".to_owned(),
            Self::Plugin(hook) => format!("a plugin for the hook {hook}, with :on, :shadow or :off behind its name"),
            Self::Plugins(hook) => {
                format!("a list of plugins for the hook {hook}, each with :on, :shadow or :off behind its name")
            }
        }
    }
}

/// How the value of a broker setting becomes the value of the topic setting it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// The same value.
    Same,
    /// Minutes become milliseconds.
    Minutes,
    /// Hours become milliseconds.
    Hours,
}

impl Unit {
    /// Milliseconds per unit; 1 where nothing is converted.
    #[must_use]
    pub const fn factor(self) -> i64 {
        match self {
            Self::Same => 1,
            Self::Minutes => 60_000,
            Self::Hours => 3_600_000,
        }
    }
}

/// A broker setting that gives the default of a topic setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// The broker setting's name.
    pub name: &'static str,
    /// The conversion from its unit.
    pub unit: Unit,
}

/// Whether a setting does its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It does.
    Full,
    /// It does not yet: only the default is accepted, and this is why.
    DefaultOnly(&'static str),
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct ConfigDef {
    /// Kafka's name of it, or ours.
    pub name: &'static str,
    /// The type.
    pub kind: ConfigKind,
    /// The built-in default as DescribeConfigs prints it; `None` is Kafka's null.
    pub default: Option<&'static str>,
    /// What a value must satisfy beyond its type.
    pub rule: Rule,
    /// What it does, in a sentence or two.
    pub doc: &'static str,
    /// For a topic setting: the broker settings that give its default, strongest first (empty: none does).
    /// For a broker setting: the settings that are consulted together, itself among them, strongest first
    /// (empty: only itself).
    pub synonyms: &'static [Synonym],
    /// Whether it does its work.
    pub support: Support,
    /// Listed by DescribeConfigs only where it was set (Kafka's internal configs).
    pub internal: bool,
    /// For a broker setting: whether AlterConfigs may change it while the broker runs.
    pub dynamic: bool,
    /// Ours, not Kafka's.
    pub ours: bool,
}

impl ConfigDef {
    pub(super) const fn new(
        name: &'static str,
        kind: ConfigKind,
        default: &'static str,
        rule: Rule,
        doc: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            default: Some(default),
            rule,
            doc,
            synonyms: &[],
            support: Support::Full,
            internal: false,
            dynamic: false,
            ours: false,
        }
    }

    pub(super) const fn null(mut self) -> Self {
        self.default = None;
        self
    }

    pub(super) const fn from(mut self, synonyms: &'static [Synonym]) -> Self {
        self.synonyms = synonyms;
        self
    }

    pub(super) const fn only_default(mut self, why: &'static str) -> Self {
        self.support = Support::DefaultOnly(why);
        self
    }

    pub(super) const fn internal(mut self) -> Self {
        self.internal = true;
        self
    }

    pub(super) const fn dynamic(mut self) -> Self {
        self.dynamic = true;
        self
    }

    pub(super) const fn ours(mut self) -> Self {
        self.ours = true;
        self
    }
}

pub(super) const fn same(name: &'static str) -> Synonym {
    Synonym { name, unit: Unit::Same }
}

pub(super) const fn minutes(name: &'static str) -> Synonym {
    Synonym { name, unit: Unit::Minutes }
}

pub(super) const fn hours(name: &'static str) -> Synonym {
    Synonym { name, unit: Unit::Hours }
}
