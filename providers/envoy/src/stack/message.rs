//! How Envoy's messages are written in Rust: one line for each field, which gives its encoding (prost) and its text (serde, as in proto3 JSON).

/// Whether a field holds what Envoy assumes without it, so that texts leave it out.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Declares messages. Fields are `name: kind = "tag"`. A member of a `oneof` is an optional field: on the wire there is no difference.
macro_rules! message {
    ($(#[$meta:meta])* $name:ident { $($fields:tt)* }) => {
        message!(@field [$(#[$meta])*] $name [] $($fields)*);
    };
    (@field [$($meta:tt)*] $name:ident [$($done:tt)*]) => {
        $($meta)*
        #[derive(Clone, PartialEq, prost::Message, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name { $($done)* }
    };
    (@field $meta:tt $name:ident $done:tt $field:ident : string = $tag:tt, $($rest:tt)*) => {
        message!(@add $meta $name $done [string, tag = $tag] [] $field [String] $($rest)*);
    };
    (@field $meta:tt $name:ident $done:tt $field:ident : optional_string = $tag:tt, $($rest:tt)*) => {
        message!(@add $meta $name $done [string, optional, tag = $tag] [] $field [Option<String>] $($rest)*);
    };
    (@field $meta:tt $name:ident $done:tt $field:ident : strings = $tag:tt, $($rest:tt)*) => {
        message!(@add $meta $name $done [string, repeated, tag = $tag] [] $field [Vec<String>] $($rest)*);
    };
    (@field $meta:tt $name:ident $done:tt $field:ident : bool = $tag:tt, $($rest:tt)*) => {
        message!(@add $meta $name $done [bool, tag = $tag] [] $field [bool] $($rest)*);
    };
    (@field $meta:tt $name:ident $done:tt $field:ident : optional_bool = $tag:tt, $($rest:tt)*) => {
        message!(@add $meta $name $done [bool, optional, tag = $tag] [] $field [Option<bool>] $($rest)*);
    };
    (@field $meta:tt $name:ident $done:tt $field:ident : uint32 = $tag:tt, $($rest:tt)*) => {
        message!(@add $meta $name $done [uint32, tag = $tag] [] $field [u32] $($rest)*);
    };
    (@field $meta:tt $name:ident $done:tt $field:ident : uint64 = $tag:tt, $($rest:tt)*) => {
        message!(@add $meta $name $done [uint64, tag = $tag] [] $field [u64] $($rest)*);
    };
    (@field $meta:tt $name:ident $done:tt $field:ident : int64 = $tag:tt, $($rest:tt)*) => {
        message!(@add $meta $name $done [int64, tag = $tag] [] $field [i64] $($rest)*);
    };
    (@field $meta:tt $name:ident $done:tt $field:ident : optional_uint32 = $tag:tt, $($rest:tt)*) => {
        message!(@add $meta $name $done [uint32, optional, tag = $tag] [] $field [Option<u32>] $($rest)*);
    };
    (@field $meta:tt $name:ident $done:tt $field:ident : uint32s = $tag:tt, $($rest:tt)*) => {
        message!(@add $meta $name $done [uint32, repeated, packed = "false", tag = $tag] [] $field [Vec<u32>] $($rest)*);
    };
    (@field $meta:tt $name:ident $done:tt $field:ident : uint32_value = $tag:tt, $($rest:tt)*) => {
        message!(@add $meta $name $done [message, optional, tag = $tag] [] $field [Option<u32>] $($rest)*);
    };
    (@field $meta:tt $name:ident $done:tt $field:ident : bool_value = $tag:tt, $($rest:tt)*) => {
        message!(@add $meta $name $done [message, optional, tag = $tag] [] $field [Option<bool>] $($rest)*);
    };
    (@field $meta:tt $name:ident $done:tt $field:ident : enumeration $kind:ident $path:tt = $tag:tt, $($rest:tt)*) => {
        message!(@add $meta $name $done [enumeration = $path, tag = $tag] [with = $path] $field [i32] $($rest)*);
    };
    (@field $meta:tt $name:ident $done:tt $field:ident : message $kind:ident = $tag:tt, $($rest:tt)*) => {
        message!(@add $meta $name $done [message, optional, tag = $tag] [] $field [Option<$kind>] $($rest)*);
    };
    (@field $meta:tt $name:ident $done:tt $field:ident : messages $kind:ident = $tag:tt, $($rest:tt)*) => {
        message!(@add $meta $name $done [message, repeated, tag = $tag] [] $field [Vec<$kind>] $($rest)*);
    };
    (@field $meta:tt $name:ident $done:tt $field:ident : map $kind:ident = $tag:tt, $($rest:tt)*) => {
        message!(@add $meta $name $done [btree_map = "string, message", tag = $tag] [] $field
            [std::collections::BTreeMap<String, $kind>] $($rest)*);
    };
    (@add $meta:tt $name:ident [$($done:tt)*] [$($prost:tt)*] [$($serde:tt)*] $field:ident [$($type:tt)*] $($rest:tt)*) => {
        message!(@field $meta $name [
            $($done)*
            #[doc = concat!("`", stringify!($field), "` in Envoy's API.")]
            #[prost($($prost)*)]
            #[serde(skip_serializing_if = "crate::stack::message::is_default", $($serde)*)]
            pub $field: $($type)*,
        ] $($rest)*);
    };
}

/// Declares an enumeration: values with their numbers and the names that texts give them.
macro_rules! enumeration {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $value:ident = $number:literal $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
        #[repr(i32)]
        pub enum $name {
            $($(#[$doc])* $value = $number),+
        }

        impl $name {
            pub(super) fn serialize<S: serde::Serializer>(value: &i32, serializer: S) -> Result<S::Ok, S::Error> {
                match *value {
                    $($number => serializer.serialize_str($text),)+
                    other => serializer.serialize_i32(other),
                }
            }

            pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                match text.as_str() {
                    $($text => Ok($number),)+
                    other => Err(serde::de::Error::custom(format!("{other:?} is no {}", stringify!($name)))),
                }
            }
        }
    };
}

pub(super) use {enumeration, message};
