//! `#[derive(Events)]`

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned as _;
use syn::{Data, DeriveInput, Fields, Ident, LitStr, Token, Type, Variant};

const USAGE: &str = "a variant reads by `#[event(prefix = \"Order\")]` or takes the rest by `#[event(any)]`";

/// How a variant says what it reads.
enum Pattern {
    /// Not at all: by the type that it holds.
    Type,
    Prefix(LitStr),
    Any,
}

impl Parse for Pattern {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let word: Ident = input.parse().map_err(|error| syn::Error::new(error.span(), USAGE))?;
        if word == "any" {
            return Ok(Self::Any);
        }
        if word != "prefix" {
            return Err(syn::Error::new_spanned(word, USAGE));
        }
        input.parse::<Token![=]>()?;
        let prefix: LitStr = input.parse()?;
        if prefix.value().is_empty() {
            let message = "an empty prefix is that of any event: write `#[event(any)]`";
            return Err(syn::Error::new_spanned(prefix, message));
        }
        Ok(Self::Prefix(prefix))
    }
}

struct Member<'a> {
    ident: &'a Ident,
    payload: &'a Type,
    pattern: Pattern,
}

impl<'a> Member<'a> {
    fn of(variant: &'a Variant) -> syn::Result<Self> {
        let payload = match &variant.fields {
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => &fields.unnamed[0].ty,
            _ => {
                let message = format!(
                    "a variant holds one event: write `{0}(Event)`, where `Event` has `#[derive(Event)]`",
                    variant.ident
                );
                return Err(syn::Error::new_spanned(variant, message));
            }
        };
        let pattern = match crate::attribute(&variant.attrs, "event")? {
            Some(attribute) => attribute.parse_args()?,
            None => Pattern::Type,
        };
        Ok(Self { ident: &variant.ident, payload, pattern })
    }

    fn pattern(&self) -> TokenStream {
        let payload = self.payload;
        match &self.pattern {
            Pattern::Type => quote_spanned! {payload.span()=>
                ::fantascope_sdk::__private::Pattern::of::<#payload>()
            },
            Pattern::Prefix(prefix) => quote! {
                ::fantascope_sdk::__private::Pattern::Prefix(#prefix)
            },
            Pattern::Any => quote!(::fantascope_sdk::__private::Pattern::Any),
        }
    }

    fn decode(&self, index: usize) -> TokenStream {
        let Self { ident, payload, .. } = self;
        match &self.pattern {
            Pattern::Type => quote! {
                #index => source.decode().map(Self::#ident),
            },
            Pattern::Prefix(_) | Pattern::Any => {
                let of = quote_spanned! {payload.span()=>
                    <#payload as ::fantascope_sdk::__private::Untyped>::of(source)
                };
                quote! {
                    #index => ::core::result::Result::Ok(Self::#ident(#of)),
                }
            }
        }
    }
}

pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let ident = &input.ident;
    let Data::Enum(data) = &input.data else {
        let message = "a set of events is an enum; a single event is `#[derive(Event)]`, without s";
        return Err(syn::Error::new_spanned(ident, message));
    };
    crate::without_generics(input, "a set of events")?;
    if data.variants.is_empty() {
        let message = "a set of events has at least one variant; `NoEvent` is the empty one";
        return Err(syn::Error::new_spanned(ident, message));
    }
    let members: Vec<Member<'_>> = data.variants.iter().map(Member::of).collect::<syn::Result<_>>()?;
    let patterns = members.iter().map(Member::pattern);
    let decode = members.iter().enumerate().map(|(at, m)| m.decode(at));
    let write = write(ident, &members);

    Ok(quote! {
        #[automatically_derived]
        impl ::fantascope_sdk::Events for #ident {
            const PATTERNS: &'static [::fantascope_sdk::__private::Pattern] = &[#(#patterns),*];

            fn decode(
                variant: usize,
                source: ::fantascope_sdk::__private::Source<'_>,
            ) -> ::fantascope_sdk::Result<Self> {
                match variant {
                    #(#decode)*
                    _ => ::core::unreachable!(),
                }
            }
        }

        const _: () = ::core::assert!(
            ::fantascope_sdk::__private::are_distinct_patterns(
                <#ident as ::fantascope_sdk::Events>::PATTERNS
            ),
            "two variants of this enum read the same events",
        );

        #write
    })
}

/// Only a set of nothing but types can be written, and only where each of them is
/// `Serialize`.
fn write(ident: &Ident, members: &[Member<'_>]) -> TokenStream {
    let are_types = members.iter().all(|member| matches!(member.pattern, Pattern::Type));
    if !are_types {
        return TokenStream::new();
    }
    let payloads = members.iter().map(|member| member.payload);
    let variants: Vec<&Ident> = members.iter().map(|member| member.ident).collect();
    let indexes = 0..variants.len();
    quote! {
        #[automatically_derived]
        impl ::fantascope_sdk::WriteEvents for #ident
        where
            #(for<'a> &'a #payloads: ::fantascope_sdk::__private::Serialize,)*
        {
            fn variant(&self) -> usize {
                match self {
                    #(Self::#variants(_) => #indexes,)*
                }
            }

            fn write(&self, to: &mut ::std::vec::Vec<u8>) -> ::fantascope_sdk::Result {
                match self {
                    #(Self::#variants(event) => {
                        ::fantascope_sdk::__private::write_event(&event, to)
                    })*
                }
            }
        }
    }
}
