package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
)

// openAPI is the document that describes the admin API, as far as tests need it.
type openAPI struct {
	Paths      map[string]map[string]any `yaml:"paths"`
	Components struct {
		Schemas   map[string]any `yaml:"schemas"`
		Responses map[string]any `yaml:"responses"`
	} `yaml:"components"`

	seen map[string]bool // statuses that came, by operation
}

func readOpenAPI(t *testing.T) *openAPI {
	t.Helper()
	text, err := os.ReadFile("proxy/admin/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	doc := &openAPI{seen: map[string]bool{}}
	if err := yaml.Unmarshal(text, doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// operations returns "METHOD path" of each operation.
func (d *openAPI) operations() []string {
	var all []string
	for path, methods := range d.Paths {
		for method := range methods {
			if method != "parameters" {
				all = append(all, strings.ToUpper(method)+" "+path)
			}
		}
	}
	slices.Sort(all)
	return all
}

// check returns what is wrong with an answer to an operation.
func (d *openAPI) check(method, path string, status int, contentType string, body []byte) []string {
	operation, ok := d.Paths[path][strings.ToLower(method)].(map[string]any)
	if !ok {
		return []string{"the document does not have the operation"}
	}
	responses := operation["responses"].(map[string]any)
	response, ok := responses[fmt.Sprint(status)].(map[string]any)
	if !ok && status < 400 {
		return []string{fmt.Sprintf("the document has no answer %d", status)}
	}
	if !ok {
		response = d.resolve(responses["default"].(map[string]any))
	}
	d.seen[fmt.Sprintf("%s %s %d", method, path, status)] = true
	media, ok := response["content"].(map[string]any)[contentType].(map[string]any)
	if !ok {
		return []string{"the answer is " + contentType}
	}
	if contentType != "application/json" {
		return nil
	}
	var answer any
	if err := json.Unmarshal(body, &answer); err != nil {
		return []string{err.Error()}
	}
	return d.mismatch("answer", media["schema"].(map[string]any), answer)
}

// resolve follows a reference within the document.
func (d *openAPI) resolve(schema map[string]any) map[string]any {
	ref, ok := schema["$ref"].(string)
	if !ok {
		return schema
	}
	parts := strings.Split(ref, "/")
	all := d.Components.Schemas
	if parts[2] == "responses" {
		all = d.Components.Responses
	}
	return all[parts[3]].(map[string]any)
}

// mismatch returns where v is not as the schema says: of JSON Schema, what the document
// uses.
func (d *openAPI) mismatch(at string, schema map[string]any, v any) []string {
	schema = d.resolve(schema)
	if values, ok := schema["enum"].([]any); ok && !slices.Contains(values, v) {
		return []string{fmt.Sprintf("%s: %v is none of %v", at, v, values)}
	}
	switch kind := schema["type"]; kind {
	case "object":
		members, ok := v.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s: %v is no object", at, v)}
		}
		return d.wrongMembers(at, schema, members)
	case "array":
		items, ok := v.([]any)
		if !ok {
			return []string{fmt.Sprintf("%s: %v is no array", at, v)}
		}
		var wrong []string
		for i, item := range items {
			wrong = append(wrong, d.mismatch(fmt.Sprintf("%s[%d]", at, i), schema["items"].(map[string]any), item)...)
		}
		return wrong
	default:
		if !isScalar(kind, schema["format"], v) {
			return []string{fmt.Sprintf("%s: %v is no %v %v", at, v, kind, schema["format"])}
		}
		return nil
	}
}

func (d *openAPI) wrongMembers(at string, schema map[string]any, members map[string]any) (wrong []string) {
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := members[name.(string)]; !ok {
			wrong = append(wrong, fmt.Sprintf("%s.%s is missing", at, name))
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	others, _ := schema["additionalProperties"].(map[string]any)
	for name, value := range members {
		property, ok := properties[name].(map[string]any)
		if !ok {
			property = others
		}
		if property == nil {
			wrong = append(wrong, fmt.Sprintf("%s.%s is not in the document", at, name))
			continue
		}
		wrong = append(wrong, d.mismatch(at+"."+name, property, value)...)
	}
	return wrong
}

func isScalar(kind, format, v any) bool {
	switch v := v.(type) {
	case string:
		if format == "date-time" {
			_, err := time.Parse(time.RFC3339, v)
			return err == nil && kind == "string"
		}
		return kind == "string"
	case float64:
		return kind == "number" || kind == "integer" && v == math.Trunc(v)
	case bool:
		return kind == "boolean"
	default:
		return false
	}
}

// The check sees what it is for.
func TestOpenAPI_CheckBites(t *testing.T) {
	d := readOpenAPI(t)
	f := func(status int, contentType, body string, good bool) {
		t.Helper()
		if wrong := d.check("GET", "/api/v1/events", status, contentType, []byte(body)); (len(wrong) == 0) != good {
			t.Errorf("%d %s: %v", status, body, wrong)
		}
	}
	const event = `"at":"2026-01-02T03:04:05Z","type":"t","id":"i","result":"ok"`
	f(200, "application/json", `{"events":[]}`, true)
	f(200, "application/json", `{"events":[{`+event+`}]}`, true)
	f(404, "application/json", `{"error":"a","message":"b"}`, true)
	f(404, "application/json", `{"error":"a"}`, false)
	f(202, "application/json", `{"events":[]}`, false)
	f(200, "text/plain", `{"events":[]}`, false)
	f(200, "application/json", `{"events":null}`, false)
	f(200, "application/json", `{"events":[],"more":1}`, false)
	f(200, "application/json", `{"events":[{`+event+`,"secret":"x"}]}`, false)
	f(200, "application/json", `{"events":[{`+strings.Replace(event, "2026-01-02T03:04:05Z", "today", 1)+`}]}`, false)
	f(200, "application/json", `{"events":[{`+strings.Replace(event, `"ok"`, "7", 1)+`}]}`, false)
}
