//! `#[derive(Event)]`

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Data, DeriveInput, Fields, Ident, LitInt, LitStr, Token};

const USAGE: &str =
    "say which stored event this is, such as `#[event(\"OrderPlaced\")]` or `#[event(\"OrderPlaced\", v = 2)]`";

/// As the WIT allows.
const NAME_BYTES_MAX: usize = 200;

/// `"OrderPlaced", v = 2`
struct Arguments {
    name: String,
    version: u32,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name: LitStr = input.parse().map_err(|error| syn::Error::new(error.span(), USAGE))?;
        let text = name.value();
        if text.is_empty() || text.len() > NAME_BYTES_MAX {
            let message = format!("the name of an event type has 1 to {NAME_BYTES_MAX} bytes");
            return Err(syn::Error::new_spanned(name, message));
        }
        let mut version = 1;
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
        if !input.is_empty() {
            let key: Ident = input.parse()?;
            if key != "v" {
                return Err(syn::Error::new_spanned(key, USAGE));
            }
            input.parse::<Token![=]>()?;
            let number: LitInt = input.parse()?;
            version = number.base10_parse()?;
            if version == 0 {
                let message = "the version of an event's schema is at least 1";
                return Err(syn::Error::new_spanned(number, message));
            }
        }
        if !input.is_empty() {
            return Err(input.error(USAGE));
        }
        Ok(Self { name: text, version })
    }
}

pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let ident = &input.ident;
    match &input.data {
        Data::Struct(data) if matches!(data.fields, Fields::Named(_)) => {}
        Data::Struct(_) => {
            let message = format!(
                "the payload of an event is a JSON object: write `struct {ident} {{ … }}` with named fields, or with none"
            );
            return Err(syn::Error::new_spanned(ident, message));
        }
        Data::Enum(_) | Data::Union(_) => {
            let message = "an event is a struct; an enum that holds several is `#[derive(Events)]`, with an s";
            return Err(syn::Error::new_spanned(ident, message));
        }
    }
    crate::without_generics(input, "an event")?;
    let Some(attribute) = crate::attribute(&input.attrs, "event")? else {
        return Err(syn::Error::new_spanned(ident, USAGE));
    };
    let Arguments { name, version } = attribute.parse_args()?;

    Ok(quote! {
        #[automatically_derived]
        impl ::fantascope_sdk::Event for #ident {
            const NAME: &'static str = #name;
            const VERSION: u32 = #version;
        }

        #[automatically_derived]
        impl ::fantascope_sdk::Events for #ident {
            const PATTERNS: &'static [::fantascope_sdk::__private::Pattern] =
                &[::fantascope_sdk::__private::Pattern::of::<#ident>()];

            fn decode(
                _: usize,
                source: ::fantascope_sdk::__private::Source<'_>,
            ) -> ::fantascope_sdk::Result<Self> {
                source.decode()
            }
        }

        // The lifetime makes rustc ask for `Serialize` where an event is written,
        // not here: what is only read need not have it.
        #[automatically_derived]
        impl ::fantascope_sdk::WriteEvents for #ident
        where
            for<'a> &'a #ident: ::fantascope_sdk::__private::Serialize,
        {
            fn variant(&self) -> usize {
                0
            }

            fn write(&self, to: &mut ::std::vec::Vec<u8>) -> ::fantascope_sdk::Result {
                ::fantascope_sdk::__private::write_event(&self, to)
            }
        }
    })
}
