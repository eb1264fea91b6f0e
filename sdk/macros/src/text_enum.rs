//! `#[derive(TextEnum)]`

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt as _;
use syn::{Data, DeriveInput, Fields, LitStr, Variant};

pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let ident = &input.ident;
    let Data::Enum(data) = &input.data else {
        let message = "only an enum can be derived to be a text: each variant is one";
        return Err(syn::Error::new_spanned(ident, message));
    };
    crate::without_generics(input, "an enum of texts")?;
    if data.variants.is_empty() {
        let message = "an enum of texts has at least one variant";
        return Err(syn::Error::new_spanned(ident, message));
    }
    let mut texts: Vec<String> = Vec::new();
    for variant in &data.variants {
        let text = text_of(variant)?;
        if texts.contains(&text) {
            let message = format!("two variants are the text {text:?}");
            return Err(syn::Error::new_spanned(variant, message));
        }
        texts.push(text);
    }
    let variants: Vec<&syn::Ident> = data.variants.iter().map(|v| &v.ident).collect();

    Ok(quote! {
        #[automatically_derived]
        impl ::fantascope_sdk::__private::Scalar for #ident {
            type Carrier = ::fantascope_sdk::__private::carrier::Texts;
            const TYPE: ::fantascope_sdk::column::ColumnType =
                ::fantascope_sdk::column::ColumnType::Text;

            fn to_cell(&self) -> &str {
                match self {
                    #(Self::#variants => #texts,)*
                }
            }

            fn of_cell(cell: &str) -> ::fantascope_sdk::Result<Self> {
                match cell {
                    #(#texts => ::core::result::Result::Ok(Self::#variants),)*
                    other => ::fantascope_sdk::bail!(
                        "{other:?} is none of {}",
                        [#(#texts),*].join(", ")
                    ),
                }
            }
        }

        #[automatically_derived]
        impl ::fantascope_sdk::__private::KeyColumn for #ident {}
    })
}

fn text_of(variant: &Variant) -> syn::Result<String> {
    if !matches!(variant.fields, Fields::Unit) {
        let message = "a variant that is a text holds nothing else";
        return Err(syn::Error::new_spanned(variant, message));
    }
    match crate::attribute(&variant.attrs, "text")? {
        Some(attribute) => Ok(attribute.parse_args::<LitStr>()?.value()),
        None => Ok(snake_case(&variant.ident.unraw().to_string())),
    }
}

/// `PartlyShipped` becomes `partly_shipped`.
fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for (at, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && at > 0 {
            text.push('_');
        }
        text.extend(letter.to_lowercase());
    }
    text
}
