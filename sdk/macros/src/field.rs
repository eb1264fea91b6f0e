//! A field of a row.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Ident, LitStr, Type};

/// A field of a row, which is a column of its table.
pub(crate) struct Field<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) of_type: &'a Type,
    /// The column's name.
    pub(crate) name: String,
    pub(crate) is_key: bool,
}

impl<'a> Field<'a> {
    pub(crate) fn of(field: &'a syn::Field) -> syn::Result<Self> {
        let Some(ident) = &field.ident else {
            let message = "a row has named fields: each is a column";
            return Err(syn::Error::new_spanned(field, message));
        };
        let key = crate::attribute(&field.attrs, "key")?;
        if let Some(key) = key {
            key.meta.require_path_only()?;
        }
        let name = match crate::attribute(&field.attrs, "column")? {
            Some(attribute) => {
                let name: LitStr = attribute.parse_args()?;
                check_name(&name.value(), "a column", &name)?;
                name.value()
            }
            None => {
                let name = ident.unraw().to_string();
                check_name(&name, "a column", ident).map_err(|mut error| {
                    let hint = "give the column another name than the field: `#[column(\"…\")]`";
                    error.combine(syn::Error::new_spanned(ident, hint));
                    error
                })?;
                name
            }
        };
        Ok(Self { ident, of_type: &field.ty, name, is_key: key.is_some() })
    }

    /// Its `ColumnOf`.
    pub(crate) fn column(&self) -> TokenStream {
        let Self { of_type, name, .. } = self;
        quote_spanned! {of_type.span()=>
            ::fantascope_sdk::__private::ColumnOf::of::<#of_type>(#name)
        }
    }

    /// The variable that reads its column.
    fn reader(&self) -> Ident {
        format_ident!("read_{}", self.ident.unraw())
    }

    pub(crate) fn let_reader(&self) -> TokenStream {
        let Self { of_type, name, .. } = self;
        let reader = self.reader();
        let read = quote_spanned! {of_type.span()=>
            ::fantascope_sdk::__private::read_column::<#of_type>
        };
        quote! {
            let mut #reader = #read(#name, columns.next());
        }
    }

    pub(crate) fn read(&self) -> TokenStream {
        let ident = self.ident;
        let reader = self.reader();
        quote!(#ident: #reader()?,)
    }

    pub(crate) fn write(&self) -> TokenStream {
        let Self { ident, of_type, .. } = self;
        let write = quote_spanned! {of_type.span()=>
            ::fantascope_sdk::__private::write_column::<#of_type>
        };
        quote! {
            #write(rows.iter().map(|row| &row.#ident))
        }
    }
}

/// Fails on a name that not every database takes: `^[a-z][a-z0-9_]{0,62}$`.
pub(crate) fn check_name(name: &str, what: &str, at: &impl quote::ToTokens) -> syn::Result<()> {
    let begins_well = name.starts_with(|c: char| c.is_ascii_lowercase());
    let goes_on_well = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if begins_well && goes_on_well && name.len() <= 63 {
        return Ok(());
    }
    let message = format!("`{name}` can't be the name of {what}: it must match ^[a-z][a-z0-9_]{{0,62}}$");
    Err(syn::Error::new_spanned(at, message))
}
