// Package imports reads refresh tokens and component_verify_tickets from where teams hold them
// before they use wxsidecar: the keys that WxJava, wechatpy and EasyWeChat have in Redis, the
// cache files of EasyWeChat and node-easywechat, a dump of the MySQL tables of
// wxcloudrun-wxcomponent, and a CSV.
//
// All readers are pure: they are given texts, and neither open files nor call anybody. What they
// read was written by others and is not trusted: what cannot be read is a [Finding] with a Fault,
// never an end of the reading, and no text of a Fault or a Where repeats a value.
//
// # Which file
//
//	finding.go                     what is found
//	source.go                      the sources, and the keys that each has
//	wxjava.go java.go              WxJava, and how Java writes a text into Redis
//	wechatpy.go                    wechatpy
//	easywechat.go php.go files.go  EasyWeChat and node-easywechat, and their files
//	wxcomponent.go dump.go sql.go  wxcloudrun-wxcomponent, a dump of mysqldump, and its SQL
//	csv.go lines.go                CSV, and how a text is cut into lines and fields
//
// The package makes no API promise outside this module.
package imports
