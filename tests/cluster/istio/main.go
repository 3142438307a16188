// Command istio-injector is Istio's sidecar injector by itself: the webhook, the template and the values of the
// released module, without the rest of istiod. The cluster tests run it beside native-sidecar.
//
//	istio-injector [--set NAME=VALUE]... --configuration
//	istio-injector [--set NAME=VALUE]... --listen ADDRESS --certificate FILE --key FILE
//
// The first form prints the MutatingWebhookConfiguration of Istio's chart as JSON, the second serves HTTPS at /inject.
// --set is that of istioctl. Sidecars are injected in the legacy form, as with ENABLE_NATIVE_SIDECARS=false on istiod,
// but into pods that are annotated with sidecar.istio.io/nativeSidecar: "true".
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"istio.io/istio/operator/pkg/manifest"
	"istio.io/istio/operator/pkg/render"
	"istio.io/istio/pilot/pkg/config/memory"
	"istio.io/istio/pilot/pkg/features"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/config/mesh/meshwatcher"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/kube/inject"
	"istio.io/istio/pkg/kube/krt"
)

// settings collects the values of a flag that may be given several times.
type settings []string

func (s *settings) String() string     { return strings.Join(*s, ",") }
func (s *settings) Set(v string) error { *s = append(*s, v); return nil }

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "istio-injector:", err)
		os.Exit(1)
	}
}

func run() error {
	var set settings
	flag.Var(&set, "set", "a setting of Istio, as istioctl takes them")
	configuration := flag.Bool("configuration", false, "print the webhook configuration and end")
	listen := flag.String("listen", "127.0.0.1:0", "address and port to serve on")
	certificate := flag.String("certificate", "", "PEM file of the serving certificate")
	key := flag.String("key", "", "PEM file of its key")
	flag.Parse()
	features.EnableNativeSidecars = features.NativeSidecarModeDisabled

	objects, err := istiod(set)
	if err != nil {
		return err
	}
	if *configuration {
		return printConfiguration(objects)
	}
	handler, err := injector(objects)
	if err != nil {
		return err
	}
	server := http.Server{Addr: *listen, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServeTLS(*certificate, *key)
}

// istiod renders the chart that is embedded in the module.
func istiod(set settings) ([]manifest.Manifest, error) {
	set = append(set, "profile=empty", "components.pilot.enabled=true")
	sets, _, err := render.GenerateManifest(nil, set, false, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot render Istio's chart: %w", err)
	}
	var objects []manifest.Manifest
	for _, set := range sets {
		objects = append(objects, set.Manifests...)
	}
	return objects, nil
}

func printConfiguration(objects []manifest.Manifest) error {
	for _, object := range objects {
		if object.GetKind() == "MutatingWebhookConfiguration" {
			return json.NewEncoder(os.Stdout).Encode(object.Object)
		}
	}
	return errors.New("the chart has no MutatingWebhookConfiguration")
}

// injector serves what istiod serves at /inject.
func injector(objects []manifest.Manifest) (http.Handler, error) {
	text, err := data(objects, "istio", "mesh")
	if err != nil {
		return nil, err
	}
	meshConfig, err := mesh.ApplyMeshConfig(text, mesh.DefaultMeshConfig())
	if err != nil {
		return nil, fmt.Errorf("the mesh configuration is not understood: %w", err)
	}
	watcher, err := files(objects)
	if err != nil {
		return nil, err
	}
	resource := meshwatcher.MeshConfigResource{MeshConfig: meshConfig}
	store := memory.Make(collections.Pilot)
	environment := &model.Environment{
		Watcher:     meshwatcher.ConfigAdapter(krt.NewStatic(&resource, true)),
		ConfigStore: store,
	}
	// What makes the annotation proxy.istio.io/config count.
	environment.SetPushContext(&model.PushContext{ProxyConfigs: model.GetProxyConfigs(store, meshConfig)})
	mux := http.NewServeMux()
	_, err = inject.NewWebhook(inject.WebhookParameters{Watcher: watcher, Env: environment, Mux: mux})
	return mux, err
}

// files puts the injector's configuration where its watcher wants it: into a folder of files.
func files(objects []manifest.Manifest) (inject.Watcher, error) {
	folder, err := os.MkdirTemp("", "istio-injector")
	if err != nil {
		return nil, err
	}
	paths := map[string]string{}
	for _, name := range []string{"config", "values"} {
		text, err := data(objects, "istio-sidecar-injector", name)
		if err != nil {
			return nil, err
		}
		paths[name] = filepath.Join(folder, name)
		if err := os.WriteFile(paths[name], []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return inject.NewFileWatcher(paths["config"], paths["values"])
}

// data is one entry of a ConfigMap.
func data(objects []manifest.Manifest, name, key string) (string, error) {
	for _, object := range objects {
		if object.GetKind() != "ConfigMap" || object.GetName() != name {
			continue
		}
		entries, _ := object.Object["data"].(map[string]any)
		if text, ok := entries[key].(string); ok {
			return text, nil
		}
	}
	return "", fmt.Errorf("the chart has no ConfigMap %s with %s", name, key)
}
