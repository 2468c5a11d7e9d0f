//! The vocabulary of statuses: every condition type and reason that Portico sets.
//!
//! Names and meanings are Gateway API v1.7.0's (`apis/v1/*_types.go`); reasons marked as ours are for what Gateway API has no word for.
//! Every condition carries `observedGeneration`. Positive conditions (Accepted, ResolvedRefs, Programmed, SupportedVersion) are always present,
//! negative ones (Conflicted, OverlappingTLSConfig, PartiallyInvalid, …) only while they are true. An object holds at most 8.

/// Defines an enum of words with their spelling in the API.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// Every word of the enum.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word as it is written in the API.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.as_str().to_owned()
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

words! {
    /// Condition types of a GatewayClass.
    GatewayClassCondition {
        /// The class is ours and its parameters are valid.
        Accepted,
        /// The installed CRDs' bundle version is one that Portico knows. Must be set on every accepted class.
        SupportedVersion,
    }
}

words! {
    /// Reasons of a GatewayClass's conditions.
    GatewayClassReason {
        /// Accepted=True.
        Accepted,
        /// Accepted=False: `parametersRef` is missing, of an unknown kind, or malformed.
        InvalidParameters,
        /// Accepted=False: the class asks for something that Portico does not do.
        Unsupported,
        /// SupportedVersion=True.
        SupportedVersion,
        /// SupportedVersion=False, or Accepted=False because of it; also where the CRDs have no bundle-version annotation.
        UnsupportedVersion,
        /// Unknown: nobody has looked yet.
        Pending,
    }
}

words! {
    /// Condition types of a Gateway.
    GatewayCondition {
        /// The Gateway is valid enough to be served.
        Accepted,
        /// The load balancer is configured and has an address.
        Programmed,
        /// The Gateway's own references (client certificate for backends) resolve. Does not change Accepted.
        ResolvedRefs,
        /// True while any client validation is `AllowInsecureFallback`; removed otherwise.
        InsecureFrontendValidationMode,
    }
}

words! {
    /// Reasons of a Gateway's conditions.
    GatewayReason {
        /// Accepted=True.
        Accepted,
        /// Accepted=True if some listeners are valid and some are not; Accepted=False if none is.
        ListenersNotValid,
        /// Accepted=False or Programmed=False: the spec is syntactically or semantically invalid.
        Invalid,
        /// Accepted=False: `infrastructure.parametersRef` is missing, of an unknown kind, or not allowed to say what it says.
        InvalidParameters,
        /// Accepted=False: an address has a type that Portico does not serve.
        UnsupportedAddress,
        /// Programmed=True.
        Programmed,
        /// Accepted=Unknown, or Programmed=False or Unknown: work is under way.
        Pending,
        /// Programmed=False: the cloud has not enough resources (quota, capacity).
        NoResources,
        /// Programmed=False: the requested address could not be assigned.
        AddressNotAssigned,
        /// Programmed=False: the requested address cannot be used.
        AddressNotUsable,
        /// ResolvedRefs=True.
        ResolvedRefs,
        /// ResolvedRefs=False: the client certificate for backends is missing or malformed.
        InvalidClientCertificateRef,
        /// ResolvedRefs=False: a reference crosses namespaces and no ReferenceGrant permits it. Checked before existence.
        RefNotPermitted,
        /// ResolvedRefs=False: a listener's references do not resolve.
        ListenersNotResolved,
        /// InsecureFrontendValidationMode=True.
        ConfigurationChanged,
    }
}

words! {
    /// Condition types of a listener, of a Gateway or of a ListenerSet.
    ListenerCondition {
        /// The listener is valid and can be served.
        Accepted,
        /// The load balancer listens.
        Programmed,
        /// Certificates, CA certificates and route kinds resolve.
        ResolvedRefs,
        /// True while another listener stands in the way; removed otherwise.
        Conflicted,
        /// True while hostnames or certificates of listeners of one port overlap; never False.
        OverlappingTLSConfig,
    }
}

words! {
    /// Reasons of a listener's conditions.
    ListenerReason {
        /// Accepted=True.
        Accepted,
        /// Accepted=False: the port cannot be had.
        PortUnavailable,
        /// Accepted=False: the protocol is not served.
        UnsupportedProtocol,
        /// Accepted=False: the listener asks for a value that is not served, such as TLS termination.
        UnsupportedValue,
        /// Accepted=False: none of the CA certificates for clients is valid.
        NoValidCACertificate,
        /// Accepted=False: a filter of the listener cannot be read, or cannot stand there (GEP-5224; no Go constant).
        InvalidListenerFilter,
        /// Accepted=False, entries of ListenerSets only: the Gateway has more listeners than can be served.
        TooManyListeners,
        /// Programmed=True.
        Programmed,
        /// Programmed=False: the listener is invalid.
        Invalid,
        /// Programmed=False: an HTTPS or TLS listener without sufficient TLS settings (implementer's guide; no Go constant).
        InvalidTLSConfig,
        /// Unknown or False: work is under way.
        Pending,
        /// ResolvedRefs=True.
        ResolvedRefs,
        /// ResolvedRefs=False: a certificate is missing, of an unknown kind, or malformed.
        InvalidCertificateRef,
        /// ResolvedRefs=False: no ReferenceGrant permits the reference. Precedes InvalidCertificateRef: checked before existence.
        RefNotPermitted,
        /// ResolvedRefs=False: `allowedRoutes.kinds` names kinds that the protocol or Portico does not have.
        InvalidRouteKinds,
        /// ResolvedRefs=False: a CA certificate is missing or malformed.
        InvalidCACertificateRef,
        /// ResolvedRefs=False: a CA certificate is of a kind that is not served.
        InvalidCACertificateKind,
        /// ResolvedRefs=False: a filter of the listener refers to what is not there, or is of an unknown kind (GEP-5224; no Go constant).
        InvalidListenerFilterRef,
        /// Conflicted=True, and then also Accepted=False and Programmed=False: another listener has the port and hostname.
        HostnameConflict,
        /// Conflicted=True, and then also Accepted=False and Programmed=False: another listener has the port with another protocol.
        ProtocolConflict,
        /// OverlappingTLSConfig=True.
        OverlappingHostnames,
        /// OverlappingTLSConfig=True.
        OverlappingCertificates,
    }
}

words! {
    /// Condition types of a ListenerSet.
    ListenerSetCondition {
        /// The ListenerSet may attach and at least one listener is valid.
        Accepted,
        /// Its listeners are served.
        Programmed,
    }
}

words! {
    /// Reasons of a ListenerSet's conditions. Programmed=False repeats the reason of Accepted=False.
    ListenerSetReason {
        /// Accepted=True.
        Accepted,
        /// Accepted=True if some listeners are valid and some are not; Accepted=False if none is.
        ListenersNotValid,
        /// Accepted=False: the Gateway does not allow ListenerSets from this namespace.
        NotAllowed,
        /// Accepted=False: the Gateway is not accepted itself.
        ParentNotAccepted,
        /// Accepted=False: the spec is invalid.
        Invalid,
        /// Programmed=True.
        Programmed,
        /// Programmed=False: the Gateway is not programmed itself.
        ParentNotProgrammed,
        /// Unknown or False: work is under way.
        Pending,
    }
}

words! {
    /// Condition types of a route, per parent.
    RouteCondition {
        /// At least one rule is served on at least one listener.
        Accepted,
        /// All backends and filters that are objects resolve. Set on rejected routes too; does not change Accepted.
        ResolvedRefs,
        /// True while some rules are dropped and others served; removed otherwise.
        PartiallyInvalid,
    }
}

words! {
    /// Reasons of a route's conditions.
    RouteReason {
        /// Accepted=True.
        Accepted,
        /// Accepted=False: no listener has the section name or port of the parentRef. Precedes the next two.
        NoMatchingParent,
        /// Accepted=False: the listeners do not allow the route's namespace or kind, or have another protocol. Precedes the next one.
        NotAllowedByListeners,
        /// Accepted=False: the route's hostnames have nothing in common with the listeners'.
        NoMatchingListenerHostname,
        /// Accepted=False, or PartiallyInvalid=True with a message that starts with `Dropped Rule`: a value is not served.
        UnsupportedValue,
        /// Accepted=False: filters that cannot stand together.
        IncompatibleFilters,
        /// Unknown: work is under way.
        Pending,
        /// ResolvedRefs=True.
        ResolvedRefs,
        /// ResolvedRefs=False: no ReferenceGrant permits the reference. Checked before existence.
        RefNotPermitted,
        /// ResolvedRefs=False: a backend or filter is of an unknown kind.
        InvalidKind,
        /// ResolvedRefs=False: a backend does not exist.
        BackendNotFound,
        /// ResolvedRefs=False: the Service's `appProtocol` is not served.
        UnsupportedProtocol,
    }
}

words! {
    /// Condition types of a policy, per ancestor.
    PolicyCondition {
        /// The policy is valid and takes effect.
        Accepted,
        /// Its references resolve.
        ResolvedRefs,
    }
}

words! {
    /// Reasons of a policy's conditions.
    PolicyReason {
        /// Accepted=True.
        Accepted,
        /// Accepted=False: an older policy (or the first by namespace and name) has the same target.
        Conflicted,
        /// Accepted=False: the spec is invalid or asks for something that is not served.
        Invalid,
        /// Accepted=False: the target does not exist.
        TargetNotFound,
        /// Accepted=False: none of the CA certificates is valid.
        NoValidCACertificate,
        /// ResolvedRefs=True.
        ResolvedRefs,
        /// ResolvedRefs=False: a CA certificate is missing or malformed.
        InvalidCACertificateRef,
        /// ResolvedRefs=False: a CA certificate is of a kind that is not served.
        InvalidKind,
    }
}

words! {
    /// Condition types of a LoadBalancerProfile (ours).
    ProfileCondition {
        /// The profile is valid.
        Accepted,
    }
}

words! {
    /// Reasons of a LoadBalancerProfile's conditions (ours).
    ProfileReason {
        /// Accepted=True.
        Accepted,
        /// Accepted=False: the spec is invalid.
        Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_valid_reasons_and_types() {
        // metav1.Condition: reason ^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$; ours are plain CamelCase.
        let words =
            [GatewayReason::ALL.iter().map(|it| it.as_str()).collect::<Vec<_>>(), RouteReason::ALL.iter().map(|it| it.as_str()).collect()];
        for word in words.concat() {
            assert!(word.chars().all(|it| it.is_ascii_alphanumeric()) && word.starts_with(|it: char| it.is_ascii_uppercase()), "{word}");
        }
        assert_eq!(ListenerCondition::OverlappingTLSConfig.to_string(), "OverlappingTLSConfig");
        assert_eq!(serde_json::to_value(RouteReason::InvalidKind).unwrap(), "InvalidKind");
    }
}
