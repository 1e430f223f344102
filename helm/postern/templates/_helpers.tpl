{{- define "postern.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "postern.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "postern.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "postern.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* Cluster-scoped objects of two releases must not meet. */}}
{{- define "postern.clusterName" -}}
{{- $name := include "postern.fullname" . }}
{{- eq $name .Release.Namespace | ternary $name (printf "%s-%s" .Release.Namespace $name) }}
{{- end }}

{{- define "postern.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "postern.fullname" .) }}
{{- end }}

{{- define "postern.selectorLabels" -}}
app.kubernetes.io/name: {{ include "postern.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "postern.labels" -}}
{{ include "postern.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "postern.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- /* What is watched when it is not everything, as a JSON list: Postern's own namespace is always among it. */}}
{{- define "postern.watched" -}}
{{- append .Values.watch.namespaces .Release.Namespace | uniq | sortAlpha | toJson }}
{{- end }}

{{- /* The names of `rbac.secretNames` by namespace, as JSON. */}}
{{- define "postern.secretNames" -}}
{{- $names := dict }}
{{- range .Values.rbac.secretNames | uniq | sortAlpha }}
{{- $parts := splitn "/" 2 . }}
{{- $_ := set $names $parts._0 (append (get $names $parts._0 | default list) $parts._1) }}
{{- end }}
{{- toJson $names }}
{{- end }}

{{- define "postern.graceSeconds" -}}
{{- add .Values.drain.delaySeconds .Values.drain.timeoutSeconds 5 }}
{{- end }}

{{- /* Container ports that go past a sidecar. */}}
{{- define "postern.externalPorts" -}}
{{- $ports := list }}
{{- range .Values.listeners }}
{{- $ports = append $ports .containerPort }}
{{- end }}
{{- join "," (.Values.mesh.externalPorts | default $ports) }}
{{- end }}

{{- define "postern.podLabels" -}}
{{- $labels := dict }}
{{- if eq .Values.mesh.provider "istio-sidecar" }}
{{- $_ := set $labels "sidecar.istio.io/inject" "true" }}
{{- else if eq .Values.mesh.provider "istio-ambient" }}
{{- $_ := set $labels "istio.io/dataplane-mode" "ambient" }}
{{- end }}
{{- $fixed := include "postern.labels" . | fromYaml }}
{{- toYaml (merge (dict) $fixed .Values.podLabels $labels) }}
{{- end }}

{{- /* What a mesh must be told. The annotations of Linkerd mean nothing where there is none, so `auto` has them as well: then
whoever annotates the namespace need set nothing else. */}}
{{- define "postern.meshAnnotations" -}}
{{- $mesh := .Values.mesh }}
{{- $external := include "postern.externalPorts" . }}
{{- if or (eq $mesh.provider "auto") (eq $mesh.provider "linkerd") }}
{{- if eq $mesh.provider "linkerd" }}
linkerd.io/inject: enabled
{{- end }}
config.linkerd.io/skip-inbound-ports: {{ $external | quote }}
{{- /* A classic sidecar gets SIGTERM with us, and must stay until we have drained; a native one is stopped after us. */}}
config.alpha.linkerd.io/proxy-wait-before-exit-seconds: {{ add .Values.drain.delaySeconds .Values.drain.timeoutSeconds 2 | quote }}
config.linkerd.io/shutdown-grace-period: {{ printf "%ds" (int (include "postern.graceSeconds" .)) | quote }}
{{- with $mesh.linkerd.proxyCPURequest }}
config.linkerd.io/proxy-cpu-request: {{ . | quote }}
{{- end }}
{{- with $mesh.linkerd.proxyCPULimit }}
config.linkerd.io/proxy-cpu-limit: {{ . | quote }}
{{- end }}
{{- else if eq $mesh.provider "istio-sidecar" }}
traffic.sidecar.istio.io/includeInboundPorts: ""
proxy.istio.io/config: {{ printf `{"holdApplicationUntilProxyStarts": true, "terminationDrainDuration": "%ds"}` (int (include "postern.graceSeconds" .)) | quote }}
{{- else if eq $mesh.provider "istio-ambient" }}
ambient.istio.io/bypass-inbound-capture: "true"
{{- else if eq $mesh.provider "consul" }}
consul.hashicorp.com/connect-inject: "true"
consul.hashicorp.com/transparent-proxy-exclude-inbound-ports: {{ $external | quote }}
{{- with $mesh.consul.apiServerCIDR }}
consul.hashicorp.com/transparent-proxy-exclude-outbound-cidrs: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "postern.podAnnotations" -}}
{{- $mesh := include "postern.meshAnnotations" . | fromYaml }}
{{- with merge (dict) .Values.podAnnotations $mesh }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* Whether Hosts and Listeners are reached at the nodes: "yes" or nothing. */}}
{{- define "postern.publishNodes" -}}
{{- $service := .Values.service -}}
{{- $ports := .Values.hostNetwork -}}
{{- range .Values.listeners }}{{ $ports = or $ports .hostPort }}{{ end -}}
{{- if not .Values.publishService -}}
{{- if $service.enabled -}}
{{- if and (eq $service.type "NodePort") (not $service.externalIPs) }}yes{{ end -}}
{{- else if $ports }}yes{{ end -}}
{{- end -}}
{{- end }}

{{/* The Service whose addresses are told, or nothing. */}}
{{- define "postern.publishService" -}}
{{- if .Values.publishService -}}
{{- .Values.publishService -}}
{{- else if and .Values.service.enabled (not (include "postern.publishNodes" .)) -}}
{{- printf "%s/%s" .Release.Namespace (include "postern.fullname" .) -}}
{{- end -}}
{{- end }}
