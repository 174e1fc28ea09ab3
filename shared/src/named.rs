//! Enums of names: each variant has one name on every wire, in the log and in the metrics.

/// Declares an enum with its names: `ALL` in order, `name`, `Display` and serde.
#[macro_export]
macro_rules! named {
    (
        $(#[doc = $about:literal])+
        $type:ident {
            $( $(#[doc = $doc:literal])* $variant:ident = $name:literal, )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize,
            serde::Deserialize,
        )]
        pub enum $type {
            $( $(#[doc = $doc])* #[serde(rename = $name)] $variant, )+
        }

        impl $type {
            /// Every variant, in order.
            pub const ALL: [$type; [$($name),+].len()] = [$($type::$variant),+];

            /// The name on every wire.
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => $name, )+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

pub(crate) use named;
