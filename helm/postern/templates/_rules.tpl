{{- /* What Postern may do: nothing else. It reads what it routes by, and writes two things: the status of its objects, and
Leases in its own namespace. */}}

{{- /* What is in the namespaces that it watches. */}}
{{- define "postern.rules.namespaced" -}}
# What teams and the platform write.
- apiGroups: [postern.dev]
  resources: [mappings, tcpmappings, hosts, listeners, gatewaysettings]
  verbs: [get, list, watch]
- apiGroups: [getambassador.io]
  resources:
    - authservices
    - consulresolvers
    - devportals
    - hosts
    - kubernetesendpointresolvers
    - kubernetesserviceresolvers
    - listeners
    - logservices
    - mappings
    - modules
    - ratelimitservices
    - tcpmappings
    - tlscontexts
    - tracingservices
  verbs: [get, list, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [referencegrants]
  verbs: [get, list, watch]
# Objects of Emissary-ingress in the annotations of Services and Ingresses; without this rule, those of Ingresses are not read.
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch]
# Where it routes to.
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
# What became of an object, in the object.
- apiGroups: [postern.dev]
  resources: [mappings/status, tcpmappings/status, hosts/status, listeners/status, gatewaysettings/status]
  verbs: [patch, update]
- apiGroups: [getambassador.io]
  resources: [mappings/status, hosts/status]
  verbs: [patch, update]
{{- end }}

{{- /* What is in no namespace. */}}
{{- define "postern.rules.cluster" -}}
- apiGroups: [postern.dev]
  resources: [routeclaims]
  verbs: [get, list, watch]
- apiGroups: [postern.dev]
  resources: [routeclaims/status]
  verbs: [patch, update]
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
# Kinds that are installed while Postern runs.
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [get, list, watch]
{{- end }}

{{- /* Certificates. Postern lists and watches the metadata of Secrets, and gets the bodies of those that a Host names. RBAC cannot
tell these apart: whoever has list may read every body. */}}
{{- define "postern.rules.secrets" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch]
{{- end }}

{{- /* The same for some Secrets, by their names: RBAC allows a list or watch whose field selector is one of them. */}}
{{- define "postern.rules.named" -}}
- apiGroups: [""]
  resources: [secrets]
  resourceNames: {{ toJson . }}
  verbs: [get, list, watch]
{{- end }}

{{- /* In its own namespace: who leads, and how far each replica is. */}}
{{- define "postern.rules.own" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, list, watch, create, update, patch, delete]
# A replica's Lease is owned by its pod, and goes away with it.
- apiGroups: [""]
  resources: [pods]
  verbs: [get]
{{- end }}

{{- /* A role and its binding to Postern: `root`, `namespace` (empty: the cluster), `name`, the `rules`, and for `named`
the `names`. */}}
{{- define "postern.role" -}}
{{- $kind := ternary "Role" "ClusterRole" (ne .namespace "") }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "postern.labels" .root | nindent 4 }}
rules:
  {{- range .rules }}
  {{- include (printf "postern.rules.%s" .) (eq . "named" | ternary $.names $.root) | nindent 2 }}
  {{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "postern.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ include "postern.serviceAccountName" .root }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}
