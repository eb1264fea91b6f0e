//! `#[derive(Row)]`

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Data, DeriveInput, Fields, Ident, Index, LitStr, Token};

use crate::field::{Field, check_name};

const USAGE: &str = "say which table this is a row of, such as `#[row(table = \"orders\", index(customer))]`";

/// `table = "orders", index(customer), index(a, b)`
struct Arguments {
    table: String,
    /// Names of fields.
    indexes: Vec<Vec<Ident>>,
}

impl Arguments {
    fn of(input: &DeriveInput) -> syn::Result<Self> {
        let Some(attribute) = crate::attribute(&input.attrs, "row")? else {
            return Err(syn::Error::new_spanned(&input.ident, USAGE));
        };
        let mut table: Option<LitStr> = None;
        let mut indexes = Vec::new();
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("table") {
                table = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("index") {
                let fields;
                syn::parenthesized!(fields in meta.input);
                let of = Punctuated::<Ident, Token![,]>::parse_terminated_with;
                let fields = of(&fields, Ident::parse_any)?;
                if fields.is_empty() {
                    return Err(meta.error("an index is over one field or several"));
                }
                indexes.push(fields.into_iter().collect());
            } else {
                return Err(meta.error(USAGE));
            }
            Ok(())
        })?;
        let Some(table) = table else {
            return Err(syn::Error::new_spanned(attribute, USAGE));
        };
        check_name(&table.value(), "a table", &table)?;
        Ok(Self { table: table.value(), indexes })
    }
}

pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let ident = &input.ident;
    let fields = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => &fields.named,
            Fields::Unnamed(_) | Fields::Unit => {
                let message = "a row is a struct with named fields: each is a column";
                return Err(syn::Error::new_spanned(ident, message));
            }
        },
        Data::Enum(_) | Data::Union(_) => {
            let message = "a row is a struct: each field is a column";
            return Err(syn::Error::new_spanned(ident, message));
        }
    };
    crate::without_generics(input, "a row")?;
    let arguments = Arguments::of(input)?;
    let fields: Vec<Field<'_>> = fields.iter().map(Field::of).collect::<syn::Result<_>>()?;
    check_columns(&fields)?;
    let indexes = indexes(&arguments, &fields)?;

    let (keys, others): (Vec<&Field<'_>>, Vec<&Field<'_>>) = fields.iter().partition(|field| field.is_key);
    if keys.is_empty() {
        let message = "a row has a key: put `#[key]` on the field that tells it from the others, or on several";
        return Err(syn::Error::new_spanned(ident, message));
    }
    let table = arguments.table;
    let key_columns = u32::try_from(keys.len()).map_err(|e| syn::Error::new(Span::call_site(), e))?;
    let columns = keys.iter().chain(&others).map(|field| field.column());
    let Key {
        of_type: key_type,
        of_aggregate_id,
        is_aggregate_id,
        key,
        has_key,
        write_keys,
        fields: key_fields,
        assertions,
    } = Key::of(&keys);
    let write = others.iter().map(|field| field.write());
    let let_readers = others.iter().map(|field| field.let_reader());
    let read = others.iter().map(|field| field.read());

    Ok(quote! {
        #assertions

        #[automatically_derived]
        impl ::fantascope_sdk::Row for #ident {
            type Key = #key_type;

            const TABLE: ::fantascope_sdk::__private::Table =
                ::fantascope_sdk::__private::Table {
                    name: #table,
                    columns: &[#(#columns),*],
                    key_columns: #key_columns,
                    indexes: &[#(&[#(#indexes),*]),*],
                };

            const KEY_OF_AGGREGATE_ID: ::core::option::Option<fn(&str) -> Self::Key> =
                #of_aggregate_id;

            fn is_aggregate_id(key: &Self::Key, id: &str) -> bool {
                #is_aggregate_id
            }

            fn key(&self) -> Self::Key {
                #key
            }

            fn has_key(&self, key: &Self::Key) -> bool {
                #has_key
            }

            fn write_keys<'a>(
                keys: impl ::core::iter::ExactSizeIterator<Item = &'a Self::Key>
                + ::core::clone::Clone,
            ) -> ::std::vec::Vec<::fantascope_sdk::__private::wire::Column> {
                ::std::vec![#write_keys]
            }

            fn write(
                rows: &[&Self],
            ) -> ::std::vec::Vec<::fantascope_sdk::__private::wire::Column> {
                ::std::vec![#(#write),*]
            }

            fn read(
                columns: ::std::vec::Vec<::fantascope_sdk::__private::wire::Column>,
            ) -> impl ::core::ops::FnMut(&Self::Key) -> ::fantascope_sdk::Result<Self> {
                #[allow(unused_mut, unused_variables)]
                let mut columns = columns.into_iter();
                #(#let_readers)*
                move |key| {
                    ::core::result::Result::Ok(Self {
                        #(#key_fields,)*
                        #(#read)*
                    })
                }
            }
        }
    })
}

/// No two columns may share a name.
fn check_columns(fields: &[Field<'_>]) -> syn::Result<()> {
    for (at, field) in fields.iter().enumerate() {
        if fields[..at].iter().any(|other| other.name == field.name) {
            let message = format!("two fields are the column `{}`", field.name);
            return Err(syn::Error::new_spanned(field.ident, message));
        }
    }
    Ok(())
}

/// The columns of each index.
fn indexes<'a>(arguments: &Arguments, fields: &'a [Field<'_>]) -> syn::Result<Vec<Vec<&'a str>>> {
    let column = |of: &Ident| {
        let field = fields.iter().find(|f| f.ident.unraw() == of.unraw());
        field.map(|field| field.name.as_str()).ok_or_else(|| {
            let names: Vec<String> = fields.iter().map(|f| f.ident.to_string()).collect();
            let message = format!("there is no field `{of}` to index; the fields are {}", names.join(", "));
            syn::Error::new_spanned(of, message)
        })
    };
    let indexes = arguments.indexes.iter();
    indexes.map(|index| index.iter().map(column).collect()).collect()
}

/// What a row's key makes of it.
struct Key {
    of_type: TokenStream,
    of_aggregate_id: TokenStream,
    is_aggregate_id: TokenStream,
    /// A row's key.
    key: TokenStream,
    has_key: TokenStream,
    write_keys: TokenStream,
    /// The fields of a row, of its key.
    fields: Vec<TokenStream>,
    assertions: TokenStream,
}

impl Key {
    fn of(keys: &[&Field<'_>]) -> Self {
        let types: Vec<&syn::Type> = keys.iter().map(|key| key.of_type).collect();
        let idents: Vec<&Ident> = keys.iter().map(|key| key.ident).collect();
        let assertions = types.iter().map(|of_type| {
            quote_spanned! {of_type.span()=>
                const _: () = {
                    const fn is_key<T: ::fantascope_sdk::__private::KeyColumn>() {}
                    is_key::<#of_type>();
                };
            }
        });
        let assertions = quote!(#(#assertions)*);
        if let ([of_type], [ident]) = (types.as_slice(), idents.as_slice()) {
            let key_column = quote!(<#of_type as ::fantascope_sdk::__private::KeyColumn>);
            return Self {
                of_type: quote!(#of_type),
                of_aggregate_id: quote!(#key_column::OF_AGGREGATE_ID),
                is_aggregate_id: quote!(#key_column::is_aggregate_id(key, id)),
                key: quote!(::core::clone::Clone::clone(&self.#ident)),
                has_key: quote!(self.#ident == *key),
                write_keys: quote!(::fantascope_sdk::__private::write_column(keys)),
                fields: vec![quote!(#ident: key.clone())],
                assertions,
            };
        }
        let at: Vec<Index> = (0..keys.len()).map(Index::from).collect();
        Self {
            of_type: quote!((#(#types),*)),
            of_aggregate_id: quote!(::core::option::Option::None),
            is_aggregate_id: quote!({
                let _ = (key, id);
                false
            }),
            key: quote!((#(::core::clone::Clone::clone(&self.#idents)),*)),
            has_key: quote!(#(self.#idents == key.#at)&&*),
            write_keys: quote! {
                #(::fantascope_sdk::__private::write_column(
                    keys.clone().map(|key| &key.#at)
                )),*
            },
            fields: idents.iter().zip(&at).map(|(ident, at)| quote!(#ident: key.#at.clone())).collect(),
            assertions,
        }
    }
}
