//! Writes the code of one struct from its attributes.
//!
//! All paths begin with `::watershed_protocol`, which is that crate's name for itself as well.

use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Error, Fields, Result};

use crate::attributes::{DefaultValue, FieldAttributes, Kind, Range, StructAttributes, Top};

/// The implementations for one struct.
pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(input.ident.span(), "a protocol message is a struct"));
    };
    let Fields::Named(named) = &data.fields else {
        return Err(Error::new(input.ident.span(), "a protocol message has named fields"));
    };
    let attributes = StructAttributes::parse(input)?;
    let mut fields = named.named.iter().map(FieldAttributes::parse).collect::<Result<Vec<_>>>()?;
    let schema = schema(input, &attributes, &fields);
    let default = default(input, &fields);
    // Reading and writing follow the table's order, tagged fields the order of their tags.
    let inline = fields.iter().filter(|f| !always_tagged(f)).map(read_inline).collect::<Vec<_>>();
    let min_size = fields.iter().filter(|f| !always_tagged(f)).map(min_size).collect::<Vec<_>>();
    let write = fields.iter().map(write_inline).collect::<Vec<_>>();
    fields.retain(|f| f.tag.is_some());
    fields.sort_by_key(|f| f.tag.map(|(tag, _)| tag));
    if let Some(pair) = fields.windows(2).find(|w| w[0].tag.map(|t| t.0) == w[1].tag.map(|t| t.0)) {
        return Err(Error::new(pair[1].ident.span(), "this tag is taken"));
    }
    let (read_tagged, write_tagged) = (read_tagged(&fields), write_tagged(&fields));
    let name = &input.ident;
    let message = attributes.top.as_ref().map(|top| message(input, top)).transpose()?;
    Ok(quote! {
        #default
        #schema
        #[automatically_derived]
        impl ::watershed_protocol::Wire for #name {
            const TYPE: ::watershed_protocol::schema::TypeSchema =
                ::watershed_protocol::schema::TypeSchema::Struct(
                    &<Self as ::watershed_protocol::schema::Fields>::STRUCT,
                );
            fn min_size(context: ::watershed_protocol::Context) -> usize {
                let mut size = usize::from(context.flexible());
                #(#min_size)*
                size
            }
            fn read(
                reader: &mut ::watershed_protocol::Reader,
                context: ::watershed_protocol::Context,
            ) -> ::core::result::Result<Self, ::watershed_protocol::DecodeError> {
                let mut this = <Self as ::core::default::Default>::default();
                #(#inline)*
                #read_tagged
                Ok(this)
            }
            fn write(
                &self,
                writer: &mut ::watershed_protocol::Writer,
                context: ::watershed_protocol::Context,
            ) -> ::core::result::Result<(), ::watershed_protocol::EncodeError> {
                #(#write)*
                #write_tagged
                Ok(())
            }
        }
        #[automatically_derived]
        impl ::watershed_protocol::NullableWire for #name {
            fn read_nullable(
                reader: &mut ::watershed_protocol::Reader,
                context: ::watershed_protocol::Context,
            ) -> ::core::result::Result<
                ::core::option::Option<Self>,
                ::watershed_protocol::DecodeError,
            > {
                reader.nullable_struct(context)
            }
            fn write_nullable(
                value: ::core::option::Option<&Self>,
                writer: &mut ::watershed_protocol::Writer,
                context: ::watershed_protocol::Context,
            ) -> ::core::result::Result<(), ::watershed_protocol::EncodeError> {
                writer.nullable_struct(value, context)
            }
        }
        #message
    })
}

fn always_tagged(field: &FieldAttributes<'_>) -> bool {
    field.tag.is_some_and(|(_, range)| range.min <= field.versions.min && range.max >= field.versions.max)
}

/// A test that `context.version()` is in the range, or `None` where it always is.
fn test(range: Range) -> Option<TokenStream> {
    let (min, max) = (range.min, range.max);
    match (range == Range::ALL, min == 0, max == i16::MAX) {
        (true, ..) => None,
        (_, true, _) => Some(quote!(context.version() <= #max)),
        (_, _, true) => Some(quote!(context.version() >= #min)),
        _ if min == max => Some(quote!(context.version() == #min)),
        _ => Some(quote!((#min..=#max).contains(&context.version()))),
    }
}

/// Like [`test`], for "the field is here and not a tagged one".
fn inline_test(field: &FieldAttributes<'_>) -> Option<TokenStream> {
    let tagged = field.tag.map(|(_, range)| test(range).unwrap_or_else(|| quote!(true)));
    match (test(field.versions), tagged) {
        (here, None) => here,
        (None, Some(tagged)) => Some(quote!(!(#tagged))),
        (Some(here), Some(tagged)) => Some(quote!(#here && !(#tagged))),
    }
}

fn when(test: Option<TokenStream>, then: TokenStream) -> TokenStream {
    match test {
        None => then,
        Some(test) => quote!(if #test { #then }),
    }
}

fn range(range: Range) -> TokenStream {
    let (min, max) = (range.min, range.max);
    quote!(::watershed_protocol::VersionRange::new(#min, #max))
}

fn is_default(field: &FieldAttributes<'_>) -> TokenStream {
    let ident = field.ident;
    match &field.default {
        _ if field.is_option() => quote!(self.#ident.is_none()),
        DefaultValue::Value(value) => quote!(self.#ident == #value),
        DefaultValue::Zero | DefaultValue::Null => {
            quote!(::watershed_protocol::is_default(&self.#ident))
        }
    }
}

fn default(input: &DeriveInput, fields: &[FieldAttributes<'_>]) -> TokenStream {
    let name = &input.ident;
    let values = fields.iter().map(|field| {
        let ident = field.ident;
        match &field.default {
            DefaultValue::Value(value) => quote!(#ident: #value),
            DefaultValue::Zero | DefaultValue::Null => {
                quote!(#ident: ::core::default::Default::default())
            }
        }
    });
    quote! {
        #[automatically_derived]
        impl ::core::default::Default for #name {
            fn default() -> Self {
                Self { #(#values),* }
            }
        }
    }
}

fn read_value(field: &FieldAttributes<'_>) -> TokenStream {
    let ident = field.ident;
    if !field.is_option() {
        return quote!(this.#ident = ::watershed_protocol::Wire::read(reader, context)?;);
    }
    let nullable = quote!(this.#ident = ::watershed_protocol::NullableWire::read_nullable(reader, context)?;);
    match test(nullable_test_range(field)) {
        None => nullable,
        Some(test) => quote! {
            if #test {
                #nullable
            } else {
                this.#ident = Some(::watershed_protocol::Wire::read(reader, context)?);
            }
        },
    }
}

/// The versions in which null has an encoding; all of them where that covers every version of the field.
fn nullable_test_range(field: &FieldAttributes<'_>) -> Range {
    let (nullable, versions) = (field.nullable, field.versions);
    if nullable.min <= versions.min && nullable.max >= versions.max { Range::ALL } else { nullable }
}

fn read_inline(field: &FieldAttributes<'_>) -> TokenStream {
    let value = read_value(field);
    let name = field.ident.to_string();
    when(inline_test(field), quote! { reader.at(<Self as ::watershed_protocol::schema::Fields>::NAME, #name); #value })
}

fn read_tagged(fields: &[FieldAttributes<'_>]) -> TokenStream {
    let arms = fields.iter().filter_map(|field| {
        let (tag, versions) = field.tag?;
        let value = read_value(field);
        let name = field.ident.to_string();
        let guard = test(versions).map(|test| quote!(if #test));
        Some(quote! {
            #tag #guard => {
                reader.at(<Self as ::watershed_protocol::schema::Fields>::NAME, #name);
                #value
                Ok(true)
            }
        })
    });
    let call = if fields.is_empty() {
        quote!(reader.skip_tagged_fields(<Self as ::watershed_protocol::schema::Fields>::NAME)?;)
    } else {
        quote! {
            reader.tagged_fields(<Self as ::watershed_protocol::schema::Fields>::NAME, |reader, tag| match tag {
                #(#arms)*
                _ => Ok(false),
            })?;
        }
    };
    quote!(if context.flexible() { #call })
}

fn write_value(field: &FieldAttributes<'_>) -> TokenStream {
    let ident = field.ident;
    if !field.is_option() {
        return quote!(::watershed_protocol::Wire::write(&self.#ident, writer, context)?;);
    }
    let nullable = quote!(::watershed_protocol::NullableWire::write_nullable(self.#ident.as_ref(), writer, context)?;);
    match test(nullable_test_range(field)) {
        None => nullable,
        Some(test) => quote! {
            if #test {
                #nullable
            } else {
                ::watershed_protocol::Wire::write(writer.not_null(self.#ident.as_ref())?, writer, context)?;
            }
        },
    }
}

fn write_inline(field: &FieldAttributes<'_>) -> TokenStream {
    let name = field.ident.to_string();
    let at = quote!(writer.at(<Self as ::watershed_protocol::schema::Fields>::NAME, #name););
    let value = write_value(field);
    let body = if always_tagged(field) { quote!() } else { when(inline_test(field), quote! { #at #value }) };
    // A value that this version cannot carry is an error, unless losing it is harmless.
    let refuse = match (field.ignorable, test(field.versions)) {
        (true, _) | (_, None) => quote!(),
        (false, Some(test)) => {
            let is_default = is_default(field);
            quote!(if !(#test) && !(#is_default) { #at return Err(writer.field_not_in_version()); })
        }
    };
    quote!(#body #refuse)
}

fn write_tagged(fields: &[FieldAttributes<'_>]) -> TokenStream {
    let flags = fields.iter().enumerate().filter_map(|(i, field)| {
        let flag = format_ident!("tagged_{i}");
        let is_default = is_default(field);
        let here = test(field.tag?.1).map(|test| quote!(#test &&));
        Some(quote!(let #flag = #here !(#is_default);))
    });
    let counts = fields.iter().enumerate().map(|(i, _)| {
        let flag = format_ident!("tagged_{i}");
        quote!(+ u32::from(#flag))
    });
    let writes = fields.iter().enumerate().filter_map(|(i, field)| {
        let flag = format_ident!("tagged_{i}");
        let (tag, _) = field.tag?;
        let value = write_value(field);
        let name = field.ident.to_string();
        Some(quote! {
            if #flag {
                writer.at(<Self as ::watershed_protocol::schema::Fields>::NAME, #name);
                writer.tagged_field(#tag, |writer| {
                    #value
                    Ok(())
                })?;
            }
        })
    });
    quote! {
        if context.flexible() {
            #(#flags)*
            writer.put_unsigned_varint(0 #(#counts)*);
            #(#writes)*
        }
    }
}

fn min_size(field: &FieldAttributes<'_>) -> TokenStream {
    let ty = field.ty;
    when(inline_test(field), quote!(size += <#ty as ::watershed_protocol::MinSize>::min_size(context);))
}

fn schema(input: &DeriveInput, attributes: &StructAttributes, fields: &[FieldAttributes<'_>]) -> TokenStream {
    let name = &input.ident;
    let shown = attributes.name.clone().unwrap_or_else(|| name.to_string());
    let entries = fields.iter().map(|field| {
        let ty = field.ty;
        let name = field.ident.to_string();
        let (versions, nullable) = (range(field.versions), range(field.nullable));
        let ignorable = field.ignorable;
        let tag = match field.tag {
            None => quote!(None),
            Some((tag, versions)) => {
                let versions = range(versions);
                quote!(Some((#tag, #versions)))
            }
        };
        let default = match &field.default {
            DefaultValue::Zero => quote!(Zero),
            DefaultValue::Null => quote!(Null),
            DefaultValue::Value(value) if field.type_is("bool") => quote!(Bool(#value)),
            DefaultValue::Value(value) => quote!(Int(#value as i64)),
        };
        quote! {
            ::watershed_protocol::schema::FieldSchema {
                name: #name,
                ty: <#ty as ::watershed_protocol::MinSize>::SCHEMA,
                versions: #versions,
                nullable: #nullable,
                tag: #tag,
                default: ::watershed_protocol::schema::DefaultSchema::#default,
                ignorable: #ignorable,
            }
        }
    });
    let shown = Literal::string(&shown);
    quote! {
        #[automatically_derived]
        impl ::watershed_protocol::schema::Fields for #name {
            const NAME: &'static str = #shown;
            const STRUCT: ::watershed_protocol::schema::StructSchema =
                ::watershed_protocol::schema::StructSchema {
                    name: #shown,
                    fields: &[#(#entries),*],
                };
        }
    }
}

fn message(input: &DeriveInput, top: &Top) -> Result<TokenStream> {
    let name = &input.ident;
    let (versions, flexible) = (range(top.versions), range(top.flexible));
    let text = name.to_string();
    let (kind, api, role) = match &top.kind {
        Kind::Request { api } => {
            let stem = text.strip_suffix("Request");
            let stem = stem.ok_or_else(|| Error::new(name.span(), "a request's name ends in Request"))?;
            let response = format_ident!("{stem}Response");
            let role = quote!(impl ::watershed_protocol::Request for #name { type Response = #response; });
            (quote!(Request), api, role)
        }
        Kind::Response { api } => (quote!(Response), api, quote!(impl ::watershed_protocol::Response for #name {})),
        Kind::Data => {
            return Ok(quote! {
                #[automatically_derived]
                impl ::watershed_protocol::Stored for #name {
                    const VERSIONS: ::watershed_protocol::VersionRange = #versions;
                    const FLEXIBLE: ::watershed_protocol::VersionRange = #flexible;
                }
            });
        }
    };
    Ok(quote! {
        #[automatically_derived]
        impl ::watershed_protocol::Message for #name {
            const SCHEMA: ::watershed_protocol::schema::MessageSchema =
                ::watershed_protocol::schema::MessageSchema {
                    api: #api,
                    kind: ::watershed_protocol::schema::Kind::#kind,
                    versions: #versions,
                    flexible: #flexible,
                    body: <Self as ::watershed_protocol::schema::Fields>::STRUCT,
                };
        }
        #[automatically_derived]
        #role
    })
}
