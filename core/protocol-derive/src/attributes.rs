//! Reads `#[message(...)]` and `#[field(...)]` and checks that they make sense. `expand.rs` uses the result.

use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::{Attribute, DeriveInput, Error, Expr, Field, Ident, LitInt, LitStr, Result, Token, Type};

/// Versions `min..=max`; `max` is `i16::MAX` for an open range such as `12+`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) min: i16,
    pub(crate) max: i16,
}

impl Range {
    /// A range that holds no version: `none`.
    pub(crate) const NONE: Self = Self { min: 0, max: -1 };
    /// Every version: `0+`.
    pub(crate) const ALL: Self = Self { min: 0, max: i16::MAX };

    pub(crate) fn is_none(self) -> bool {
        self.min > self.max
    }

    fn parse(text: &LitStr) -> Result<Self> {
        let value = text.value();
        let number = |s: &str| {
            s.parse::<i16>().ok().filter(|n| *n >= 0).ok_or_else(|| {
                Error::new(text.span(), format!("{value:?} is not a range of versions: write 3, 3+, 3-7 or none"))
            })
        };
        if value == "none" {
            return Ok(Self::NONE);
        }
        if let Some(min) = value.strip_suffix('+') {
            return Ok(Self { min: number(min)?, max: i16::MAX });
        }
        match value.split_once('-') {
            Some((min, max)) => Ok(Self { min: number(min)?, max: number(max)? }),
            None => number(&value).map(|n| Self { min: n, max: n }),
        }
    }
}

/// Whether a message goes to a broker, comes from it, or is stored.
#[derive(Clone)]
pub(crate) enum Kind {
    Request { api: LitInt },
    Response { api: LitInt },
    Data,
}

/// What the top struct of a message says.
pub(crate) struct Top {
    pub(crate) kind: Kind,
    pub(crate) versions: Range,
    pub(crate) flexible: Range,
}

/// What `#[message(...)]` says, on a top or a nested struct.
#[derive(Default)]
pub(crate) struct StructAttributes {
    pub(crate) name: Option<String>,
    pub(crate) top: Option<Top>,
}

impl StructAttributes {
    pub(crate) fn parse(input: &DeriveInput) -> Result<Self> {
        let (mut name, mut api, mut kind, mut versions, mut flexible) = (None, None, None::<LitStr>, None, None);
        for_each_argument(&input.attrs, "message", |key, stream| {
            match key.to_string().as_str() {
                "name" => name = Some(value::<LitStr>(stream)?.value()),
                "api" => api = Some(value::<LitInt>(stream)?),
                "versions" => versions = Some(Range::parse(&value(stream)?)?),
                "flexible" => flexible = Some(Range::parse(&value(stream)?)?),
                "kind" => kind = Some(value::<LitStr>(stream)?),
                _ => {
                    return Err(Error::new(key.span(), "expected api, kind, versions, flexible or name"));
                }
            }
            Ok(())
        })?;
        let top = match (api, kind, versions, flexible) {
            (None, None, None, None) => None,
            (api, Some(kind), Some(versions), Some(flexible)) => {
                let kind = match (kind.value().as_str(), api) {
                    ("request", Some(api)) => Kind::Request { api },
                    ("response", Some(api)) => Kind::Response { api },
                    ("data", None) => Kind::Data,
                    _ => {
                        let expected = "a message is a \"request\" or \"response\" with an api, or \"data\" without";
                        return Err(Error::new(kind.span(), expected));
                    }
                };
                Some(Top { kind, versions, flexible })
            }
            _ => {
                return Err(Error::new(input.ident.span(), "a message needs kind, versions and flexible"));
            }
        };
        Ok(Self { name, top })
    }
}

/// The default a field has where a version lacks it.
pub(crate) enum DefaultValue {
    /// The type's own: zero, empty, none.
    Zero,
    /// Null, said explicitly.
    Null,
    /// Any other value.
    Value(Expr),
}

/// One field with what `#[field(...)]` says of it.
pub(crate) struct FieldAttributes<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) ty: &'a Type,
    pub(crate) versions: Range,
    pub(crate) nullable: Range,
    /// The tag, and the versions in which the field is a tagged one.
    pub(crate) tag: Option<(u32, Range)>,
    pub(crate) default: DefaultValue,
    pub(crate) ignorable: bool,
}

impl<'a> FieldAttributes<'a> {
    pub(crate) fn parse(field: &'a Field) -> Result<Self> {
        let ident = field.ident.as_ref().ok_or_else(|| Error::new_spanned(field, "fields need names"))?;
        let (mut versions, mut nullable, mut tag, mut tagged) = (None, Range::NONE, None, None);
        let (mut default, mut ignorable) = (DefaultValue::Zero, false);
        for_each_argument(&field.attrs, "field", |key, stream| {
            match key.to_string().as_str() {
                "versions" => versions = Some(Range::parse(&value(stream)?)?),
                "nullable" => nullable = Range::parse(&value(stream)?)?,
                "tag" => tag = Some(value::<LitInt>(stream)?.base10_parse::<u32>()?),
                "tagged" => tagged = Some(Range::parse(&value(stream)?)?),
                "ignorable" => ignorable = true,
                "default" => {
                    default = match value::<Expr>(stream)? {
                        Expr::Path(path) if path.path.is_ident("null") => DefaultValue::Null,
                        other => DefaultValue::Value(other),
                    };
                }
                _ => {
                    let text = "expected versions, nullable, tag, tagged, default or ignorable";
                    return Err(Error::new(key.span(), text));
                }
            }
            Ok(())
        })?;
        let versions =
            versions.ok_or_else(|| Error::new(ident.span(), "a field needs #[field(versions = \"...\")]"))?;
        let tag = match (tag, tagged) {
            (None, None) => None,
            (Some(tag), Some(range)) => Some((tag, range)),
            _ => return Err(Error::new(ident.span(), "tag and tagged belong together")),
        };
        let field = Self { ident, ty: &field.ty, versions, nullable, tag, default, ignorable };
        field.check()?;
        Ok(field)
    }

    fn check(&self) -> Result<()> {
        let wrong = |text: &str| Err(Error::new(self.ident.span(), text));
        let optional = self.is_option();
        if optional == self.nullable.is_none() && !self.is_records() {
            return wrong("a nullable field is an Option, and only a nullable one");
        }
        if matches!(self.default, DefaultValue::Null) && !optional {
            return wrong("only an Option defaults to null");
        }
        if matches!(self.default, DefaultValue::Value(_)) && optional {
            return wrong("an Option has no default but null");
        }
        if optional && self.tag.is_some() && !matches!(self.default, DefaultValue::Null) {
            return wrong("a nullable tagged field must say default = null: leaving it out means that");
        }
        if self.is_records() && self.tag.is_some() {
            return wrong("records cannot be a tagged field");
        }
        Ok(())
    }

    /// Whether the field's type is an `Option`.
    pub(crate) fn is_option(&self) -> bool {
        self.type_is("Option")
    }

    /// Whether the field's type is the outgoing `Records`, which has its own way with null.
    pub(crate) fn is_records(&self) -> bool {
        self.type_is("Records")
    }

    /// Whether the last segment of the field's type is `name`.
    pub(crate) fn type_is(&self, name: &str) -> bool {
        matches!(self.ty, Type::Path(path) if path.path.segments.last().is_some_and(|s| s.ident == name))
    }
}

/// Calls `each` for every `key` or `key = value` inside the attributes called `name`.
fn for_each_argument(
    attributes: &[Attribute],
    name: &str,
    mut each: impl FnMut(Ident, ParseStream<'_>) -> Result<()>,
) -> Result<()> {
    for attribute in attributes.iter().filter(|a| a.path().is_ident(name)) {
        attribute.parse_args_with(|stream: ParseStream<'_>| {
            while !stream.is_empty() {
                each(stream.call(Ident::parse_any)?, stream)?;
                if !stream.is_empty() {
                    stream.parse::<Token![,]>()?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The value after a key: `= value`.
fn value<T: syn::parse::Parse>(stream: ParseStream<'_>) -> Result<T> {
    stream.parse::<Token![=]>()?;
    stream.parse()
}
