{{- define "native-sidecar.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Short enough that the longest suffix still fits into 63 characters. */}}
{{- define "native-sidecar.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- $name := include "native-sidecar.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "native-sidecar.selectorLabels" -}}
app.kubernetes.io/name: {{ include "native-sidecar.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "native-sidecar.labels" -}}
{{ include "native-sidecar.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end }}

{{- define "native-sidecar.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "native-sidecar.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "native-sidecar.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* A Go duration such as 1m30s, in milliseconds. */}}
{{- define "native-sidecar.milliseconds" -}}
{{- $sum := 0 }}
{{- range regexFindAll "[0-9]+(ms|s|m|h)" . -1 }}
{{- $factor := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 }}
{{- $sum = add $sum (mul (regexFind "[0-9]+" . | int64) (get $factor (regexFind "[a-z]+" .))) }}
{{- end }}
{{- $sum }}
{{- end }}

{{/* Values that each are right, but not together: the schema cannot say so. */}}
{{- define "native-sidecar.check" -}}
{{- $name := include "native-sidecar.fullname" . }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) }}
{{- fail (printf "%s is no name for a Service, which begins with a letter and has no dots: set fullnameOverride" $name) }}
{{- end }}
{{- range $label := keys (include "native-sidecar.selectorLabels" . | fromYaml) | sortAlpha }}
{{- if hasKey $.Values.podLabels $label }}
{{- fail (printf "podLabels must not contain %s: the Deployment finds its pods by it" $label) }}
{{- end }}
{{- end }}
{{- $drain := add (include "native-sidecar.milliseconds" .Values.drainDelay) (include "native-sidecar.milliseconds" .Values.drainTimeout) }}
{{- if ge $drain (mul 1000 (int64 .Values.terminationGracePeriodSeconds)) }}
{{- fail (printf "drainDelay %s and drainTimeout %s together must be less than terminationGracePeriodSeconds %d, or requests are cut off" .Values.drainDelay .Values.drainTimeout (int64 .Values.terminationGracePeriodSeconds)) }}
{{- end }}
{{- if and .Values.clientCA.names (not .Values.clientCA.configMapName) }}
{{- fail "clientCA.names is of no use without clientCA.configMapName: nobody would be asked for a certificate" }}
{{- end }}
{{- if has .Values.test.namespace (append .Values.webhook.excludedNamespaces .Release.Namespace) }}
{{- fail (printf "test.namespace %s is one that the webhook does not look at, so the test pod would never complete: set another" .Values.test.namespace) }}
{{- end }}
{{- end }}

{{/* zz-: webhook configurations are called in the order of their names. */}}
{{- define "native-sidecar.webhookConfiguration" -}}
zz-{{ include "native-sidecar.fullname" . }}
{{- end }}

{{/* Not empty when the program talks to the API server. */}}
{{- define "native-sidecar.apiAccess" -}}
{{- if or .Values.clusterFacts (eq .Values.certificates.mode "self-managed") }}yes{{ end }}
{{- end }}

{{/* Not empty when the API server has the policies' v1 API. */}}
{{- define "native-sidecar.policies" -}}
{{- if .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy" }}yes
{{- else if semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version }}yes
{{- end }}
{{- end }}

{{- define "native-sidecar.webhookCommon" -}}
rules:
- apiGroups: [""]
  apiVersions: [v1]
  resources: [pods]
  operations: [CREATE]
  scope: Namespaced
failurePolicy: {{ .failurePolicy }}
matchPolicy: Equivalent
reinvocationPolicy: IfNeeded
sideEffects: None
timeoutSeconds: {{ .root.Values.webhook.timeoutSeconds }}
{{- end }}

{{- define "native-sidecar.clientConfig" -}}
clientConfig:
  {{- if eq .root.Values.certificates.mode "secret" }}
  caBundle: {{ required "certificates.caBundle is needed with certificates.mode secret" .root.Values.certificates.caBundle }}
  {{- end }}
  service:
    namespace: {{ .root.Release.Namespace | quote }}
    name: {{ include "native-sidecar.fullname" .root }}
    port: 443
    path: {{ .path }}
{{- end }}

{{- define "native-sidecar.subject" -}}
subjects:
- kind: ServiceAccount
  name: {{ include "native-sidecar.serviceAccountName" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
{{- end }}
