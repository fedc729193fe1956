package wechattest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// keepMedia is how many uploaded files are remembered.
const keepMedia = 16

// sizedMedia begins a media_id that any account may get: "SIZE-1048576" answers
// that many bytes of a pattern, streamed.
const sizedMedia = "SIZE-"

// mediaFile is an uploaded file.
type mediaFile struct {
	appID, name, contentType string
	content                  []byte
}

// MediaOfSize returns a media_id whose download has n bytes: byte i is i mod 251.
func MediaOfSize(n int64) string { return sizedMedia + strconv.FormatInt(n, 10) }

// mediaUpload is https://developers.weixin.qq.com/doc/offiaccount/Asset_Management/New_temporary_materials.html
func (s *Server) mediaUpload(c *call) reply {
	kind := c.get("type")
	switch kind {
	case "image", "voice", "video", "thumb":
	default:
		return s.refuse(codeBadMediaType)
	}
	if c.upload == nil || len(c.upload.content) == 0 {
		return s.refuse(codeMediaMissing)
	}
	c.upload.appID = c.token.key.appID
	id := s.mint.text(64)
	s.media[id] = c.upload
	s.mediaOrder = append(s.mediaOrder, id)
	if len(s.mediaOrder) > keepMedia {
		delete(s.media, s.mediaOrder[0])
		s.mediaOrder = s.mediaOrder[1:]
	}
	return answer(object{"type": kind, "media_id": id, "created_at": c.now.Unix()})
}

// mediaGet is https://developers.weixin.qq.com/doc/offiaccount/Asset_Management/Get_temporary_materials.html
func (s *Server) mediaGet(c *call) reply {
	id := c.get("media_id")
	rep := reply{status: http.StatusOK, header: http.Header{}}
	if digits, sized := strings.CutPrefix(id, sizedMedia); sized {
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < 0 {
			return s.refuse(codeBadMediaID)
		}
		rep.stream, rep.size = &pattern{}, n
		return rep.asFile("image/jpeg", "size.jpg")
	}
	file := s.media[id]
	if file == nil || file.appID != c.token.key.appID {
		return s.refuse(codeBadMediaID)
	}
	rep.body = file.content
	return rep.asFile(file.contentType, file.name)
}

// asFile adds the headers of a download.
func (r reply) asFile(contentType, name string) reply {
	if contentType == "" {
		contentType = "application/octet-stream"
	}
	r.header.Set("Content-Type", contentType)
	r.header.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", name))
	r.header.Set("Cache-Control", "no-cache")
	r.header.Set("Connection", "close")
	return r
}
