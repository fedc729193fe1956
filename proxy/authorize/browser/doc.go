// Package browser holds no code, only a test: what a merchant does with the pages of
// package authorize, in Chromium, with a simulated WeChat behind WeChat's own names.
// It needs Debian's chromium, nodejs and npm, and the npm registry once.
package browser
