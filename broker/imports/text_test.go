package imports

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// wantText wants a text to be read so, or an error with that text.
func wantText(t *testing.T, read func(io.Reader) ([]Finding, error), text, wrong string, want ...shown) {
	t.Helper()
	found, err := read(iotest.HalfReader(strings.NewReader(text)))
	if (wrong == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), wrong) {
		t.Errorf("%.100q: error %v, want %q", text, err, wrong)
		return
	}
	var got []shown
	for _, f := range found {
		got = append(got, show(f))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%.100q (-want +got):\n%s", text, diff)
	}
}

func TestCSV(t *testing.T) {
	t.Parallel()
	f := func(text, wrong string, want ...shown) { t.Helper(); wantText(t, CSV, text, wrong, want...) }
	one := shown{Kind: KindRefreshToken, AppID: merchant, Value: refresh, Where: "line 2"}
	f("appid,refresh_token\n"+merchant+","+refresh+"\n", "", one)
	f("\xef\xbb\xbfAuthorizer_AppID , \"authorizer_refresh_token\"\r\n\""+merchant+"\", "+refresh+" \r\n\r\n", "", one)
	f("name;RefreshToken;appid\n\"a \nb\";"+refresh+";"+merchant, "", one)
	f("name\trefresh_token\tappid\nx\t"+refresh+"\t"+merchant, "", one)
	with := one
	with.Component, with.At = platform, time.Unix(1700000000, 0)
	f("appid,refresh_token,component,ticket,authorized\n"+merchant+","+refresh+","+platform+",,1700000000\n,,"+platform+","+ticket+",\n", "",
		with, shown{Kind: KindTicket, Component: platform, Value: ticket, Where: "line 3"})
	with.Component, with.At = "", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f("appid,refresh_token,auth_time\n"+merchant+","+refresh+",2026-01-02T03:04:05Z\n", "", with)
	f("appid,refresh_token,authorized\n"+merchant+","+refresh+",0\n", "", one) // the default of a column of a database
	f("component_appid,component_verify_ticket\n"+platform+","+ticket, "", shown{Kind: KindTicket, Component: platform, Value: ticket, Where: "line 2"})

	// What cannot be used is named.
	f("appid,refresh_token\n"+merchant+"\n", "", shown{Kind: KindRefreshToken, AppID: merchant, Where: "line 2"})
	f("appid,refresh_token\n,"+refresh+"\n", "", shown{Kind: KindRefreshToken, Where: "line 2", Fault: "no appid of a merchant stands there"})
	f("appid,refresh_token\n../x,"+refresh+"\n", "", shown{Kind: KindRefreshToken, Where: "line 2", Fault: "no appid of a merchant stands there"})
	f("appid,refresh_token\n"+merchant+",two words\n", "",
		shown{Kind: KindRefreshToken, AppID: merchant, Where: "line 2", Fault: "the value is not one printable word, as WeChat's are"})
	f("appid,refresh_token,authorized\n"+merchant+","+refresh+",yesterday\n", "",
		shown{Kind: KindRefreshToken, AppID: merchant, Where: "line 2", Fault: "authorized is neither a Unix time in seconds nor one of RFC 3339: write it so, or leave the column out"})
	f("appid,refresh_token\n", "")

	// A quote that nothing closes must not hide the lines behind it.
	hidden := shown{Kind: KindRefreshToken, Where: "line 2", Fault: "a quote opens there and closes on a later line: merchants may stand between; leave that column out"}
	f("name,appid,refresh_token\n\"Foo,x,y\nBar\","+merchant+","+refresh+"\n", "", one, hidden)
	f("name,appid,refresh_token\n\"Foo,x,y\nBar,"+merchant+","+refresh+"\n", "", hidden)
	second, third := one, one
	second.Where, third.Where = "line 3", "line 4"
	// What mysql writes has no quotes: one is part of a name.
	f("name\tappid\trefresh_token\n\"Foo\" shop\t"+merchant+"\t"+refresh+"\n\"Bar\t"+merchant+"\t"+refresh+"\nx\t\""+merchant+"\"\t"+refresh+"\n", "", one, second, third)
	f("appid,refresh_token,name\n"+merchant+","+refresh+",\""+strings.Repeat("a", maxLineBytes+5000)+"\n", "line 2 is longer than 65536 bytes")
	f("appid\trefresh_token\tname\n"+merchant+"\t"+refresh+"\t"+strings.Repeat("a", maxLineBytes)+"\n", "line 2 is longer than 65536 bytes")
	f(strings.Repeat("a", 3*maxLineBytes), "line 1 is longer than 65536 bytes")

	f("\x1f\x8b\x08", "compressed by gzip")
	f("PK\x03\x04", "Excel")
	f("\xff\xfea\x00", "UTF-16")
	f("", "the head of the CSV cannot be read")
	f(merchant+","+refresh+"\n", "must name the columns appid and refresh_token")
	f("appid,name\nx,y\n", "must name the columns")
	f("appid,refresh_token,authorizer_appid\n", "two columns for appid")
	if _, err := CSV(iotest.ErrReader(errors.New("gone"))); err == nil {
		t.Error("a text that cannot be read is read")
	}
}

// What wxcloudrun-wxcomponent's own tables look like in a dump.
func TestWxComponent(t *testing.T) {
	t.Parallel()
	f := func(file string, authorized, pushed, dies time.Time) {
		t.Helper()
		text, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		at := func(i int) shown {
			appID := fmt.Sprintf("wxa%015d", i)
			return shown{
				Kind: KindRefreshToken, Component: platform, AppID: appID, Value: "refreshtoken@@@wxcomponent-" + appID + "-RRRRRRRRRRRRRRRR",
				At: authorized, Where: fmt.Sprintf("authorizers, row %d", i),
			}
		}
		none := at(9)
		none.Value, none.Where = "", "authorizers, row 4"
		if !authorized.IsZero() {
			none.At = time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
		}
		wantText(t, WxComponent, string(text), "", at(1), at(2), at(3), none,
			shown{Kind: KindTicket, Component: platform, Value: "ticket@@@wxcomponent-" + strings.Repeat("T", 64), At: pushed, Where: "comm, row 2"},
			shown{Kind: KindComponentToken, Component: platform, Value: "61_component-token-of-wxcomponent-" + strings.Repeat("C", 86), Dies: dies, Where: "wxtoken, row 1"})
	}
	f("wxcomponent.sql", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2026, 11, 29, 16, 3, 0, 0, time.UTC), time.Date(2026, 11, 29, 18, 1, 0, 0, time.UTC))
	f("wxcomponent-columns.sql", time.Time{}, time.Time{}, time.Time{}) // in a zone that it does not name
}

func TestWxComponent_Lenient(t *testing.T) {
	t.Parallel()
	f := func(text, wrong string, want ...shown) { t.Helper(); wantText(t, WxComponent, text, wrong, want...) }
	one := shown{Kind: KindRefreshToken, AppID: merchant, Value: refresh, Where: "authorizers, row 1"}
	f("insert into `db`.`AUTHORIZERS` (refreshtoken, `appid`) values ('"+refresh+"', '"+merchant+"');", "", one)
	f("REPLACE IGNORE INTO db.authorizers (appid,refreshtoken) VALUES (_utf8mb4 '"+merchant+"',\""+refresh+"\")", "", one)
	f("CREATE TABLE `authorizers` (`refreshtoken` varchar(128) DEFAULT ',', `appid` varchar(32), KEY `x` (`appid`)) ENGINE=InnoDB;\n"+
		"-- a comment; '\n# another `\n/* and */ INSERT INTO `authorizers` VALUES ('"+refresh+"','"+merchant+"');", "", one)
	f("CREATE TABLE authorizers (\n  `id` int(11) NOT NULL,\n  appid varchar(32) NOT NULL DEFAULT '',\n  refreshtoken varchar(128),\n  PRIMARY KEY (`id`),\n  UNIQUE KEY appid (appid)\n);\n"+
		"INSERT INTO authorizers VALUES (1,'"+merchant+"','"+refresh+"');", "", one) // --skip-quote-names
	f("INSERT INTO `authorizers` (`appid`,`refreshtoken`,`nickname`) VALUES ('"+merchant+"','"+refresh+"','It''s \\' \\\\');", "", one)
	two := one
	two.Where, two.AppID = "authorizers, row 2", "wxa000000000000002"
	f("INSERT INTO authorizers (appid,nickname,refreshtoken) VALUES ('"+merchant+"',CONCAT('a','b'),'"+refresh+"'),('"+two.AppID+"','','"+refresh+"')", "", one, two)
	broken := shown{Kind: KindRefreshToken, Where: "authorizers, row 1", Fault: "no appid of a merchant stands there"}
	broken.Fault = "the row is broken off"
	f("INSERT INTO authorizers (appid,refreshtoken) VALUES ('"+merchant+"','"+refresh, "", broken)
	long := one
	long.Value, long.Fault = "", "the value is too long or broken off"
	f("INSERT INTO authorizers (appid,refreshtoken) VALUES ('"+merchant+"','"+strings.Repeat("x", MaxValueBytes+1)+"')", "", long)
	none := one
	none.Value = ""
	f("INSERT INTO authorizers (appid,refreshtoken) VALUES ('"+merchant+"',NULL)", "", none)

	// Two platforms in one dump: nobody knows whose the merchants are.
	own := func(component string, row int) shown {
		return shown{Kind: KindComponentToken, Component: component, Value: access, Where: fmt.Sprintf("wxtoken, row %d", row)}
	}
	f("INSERT INTO authorizers (appid,refreshtoken) VALUES ('"+merchant+"','"+refresh+"'); INSERT INTO wxtoken (type,appid,token) VALUES "+
		"(2,'"+platform+"','"+access+"'),(1,'"+merchant+"','x'),('2','wx7f00c0de00000002','"+access+"')", "",
		one, own(platform, 1), own("wx7f00c0de00000002", 3))

	f("\x1f\x8b\x08", "compressed by gzip")
	f("\xfe\xff\x00-", "UTF-16")
	f("/*!40101 SET NAMES gbk */;\nINSERT INTO authorizers (appid,nickname) VALUES ('x','\x81\\');", "in gbk: dump it again with --default-character-set=utf8mb4")
	// A dump that ends before its end.
	ended := shown{Kind: KindRefreshToken, Where: "the end of the dump", Fault: "its last line, -- Dump completed, is missing: merchants may be missing too"}
	rows := "INSERT INTO authorizers (appid,refreshtoken) VALUES ('" + merchant + "','" + refresh + "');\n"
	for _, head := range []string{"-- MySQL dump 10.13\n", "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19\n"} {
		f(head+rows, "", one, ended)
		f(head+rows+"-- Dump completed on 2026-11-29 16:03:00\n", "", one)
	}
	f("", "no rows of the tables")
	f("INSERT INTO `user` VALUES ('a','b');", "no rows of the tables")
	f("INSERT INTO `authorizers", "no rows of the tables")
	if _, err := WxComponent(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("INSERT")))); err == nil {
		t.Error("a text that cannot be read to its end is read")
	}
}

func FuzzCSV(f *testing.F) {
	f.Add("appid,refresh_token\n" + merchant + "," + refresh + "\n")
	f.Add("\xef\xbb\xbfappid;refresh_token;ticket\n\"x\";\"y\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		found, err := CSV(strings.NewReader(text))
		if err != nil && len(found) > 0 {
			t.Errorf("%d findings and %v", len(found), err)
		}
		wantPlain(t, found)
	})
}

func FuzzWxComponent(f *testing.F) {
	f.Add("CREATE TABLE `comm` (`key` text, `value` text);INSERT INTO `comm` VALUES ('ticket','" + ticket + "');")
	f.Add("INSERT INTO authorizers (appid,refreshtoken) VALUES (_utf8 '" + merchant + "','a''b\\n')/*x*/;-- \n")
	f.Fuzz(func(t *testing.T, text string) {
		found, err := WxComponent(strings.NewReader(text))
		if err != nil && len(found) > 0 {
			t.Errorf("%d findings and %v", len(found), err)
		}
		wantPlain(t, found)
	})
}

// wantPlain wants what is without fault to be fit for a store.
func wantPlain(t *testing.T, found []Finding) {
	t.Helper()
	for _, f := range found {
		if f.Fault == "" && (strings.ContainsAny(f.Value.Reveal(), " \n\x00") || strings.ContainsAny(f.AppID, "/ \n") || (f.Kind == KindRefreshToken) != (f.AppID != "")) {
			t.Errorf("%+v", show(f))
		}
	}
}
