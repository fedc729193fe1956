package admin

// partsChinese are partsEnglish in Chinese.
var partsChinese = map[string]string{
	"draining":          "sidecar 已收到停止指令",
	"reload_refused":    "改动后的配置没有采用，旧配置仍在使用：%s",
	"clock_behind":      "本机时钟比微信慢 %d 秒，计算时已修正",
	"clock_ahead":       "本机时钟比微信快 %d 秒，计算时已修正",
	"shared_unreadable": "各副本共享的存储没有响应：%s",
	"store_unreadable":  "无法读取存储：%s",
	"unsaved":           "存储没有接受 %d 个 key 的 token，它们目前只在内存里：%s",
	"takes_nothing":     "存储拒绝写入，因此什么都不会刷新：%s",
	"store_repaired":    "存储文件损坏（%s），已移到 %s；新文件保留了其中 %d 条记录",

	"wechat_unreachable": "微信没有响应，刷新暂停，等待其恢复：%s",
	"proxy_unreachable":  "无法访问微信，因为 upstream.proxy 不放行：%s",
	"host_out":           "%s 连续 %d 次调用失败；其间使用其他可用的域名",
	"list_unread":        "商家的授权列表没有读完：%s",
	"displaced":          "token 尚新就被微信拒绝，说明外部也在获取：%s",
	"events_late":        "%d 个事件在等待应用接收，最早的已等了 %d 分钟",
	"dead_letters":       "%d 个事件因一天内没有应用接收而放弃",

	"ticket_late":         "25 分钟没有收到 ticket；微信每十分钟推送一次",
	"start_refused":       "；请求推送时微信的回答：%s",
	"pushes_refused":      "；推送到达了，但被拒绝（%s）：",
	"push_forged":         "请核对 push_token 与微信后台的“消息校验Token”",
	"push_padding":        "请核对 encoding_aes_key 与微信后台的“消息加解密Key”",
	"push_path":           "微信后台的“授权事件接收URL”必须以 /wechat/<component>/event 结尾",
	"push_outside_window": "两边时钟不一致，或有人重发旧推送；请比较日志“push refused”一行里的两个时间",
	"push_cut_off":        "请求体中断，或超过五秒才到齐；请检查推送监听前面的代理",
	"push_too_large":      "超过 1 MiB 的请求体不是微信的推送；日志“push refused”一行有其来源",
	"push_parameters":     "msg_signature、timestamp 或 nonce 缺失或重复；请检查推送监听前面的代理是否原样转发查询参数",
	"push_busy":           "同时到达推送监听的请求过多；请在它前面的代理里限制连接数",
	"push_other":          "请求体不是微信发送的格式；日志“push refused”一行有其来源",

	"ticket_url": "；请确认微信后台的“授权事件接收URL”指向推送监听",

	"keys_wait":   "；%d 个 key 在等它",
	"still_lives": "token 在 %s 之前有效，但无法刷新：",
	"merchants":   "%d 个商家，其中 %d 个的 token 仍然有效：",

	"why_refused_said":     "微信的回答：%s",
	"why_no_answer":        "在等待微信响应",
	"why_no_answer_said":   "微信没有回答：%s",
	"why_store_away_said":  "各副本共享的存储没有响应：%s",
	"why_no_ticket":        "没有可用的 component_verify_ticket；微信每十分钟推送一次",
	"why_budget":           "此 key 当日因 token 被拒而强制刷新的额度（sidecar 自定）已用完；到北京时间零点之前每小时刷新一次",
	"why_quota_met":        "微信曾返回 45009：当日调用额度已用尽",
	"why_withdrawn":        "微信推送了 unauthorized：商家取消了授权",
	"why_forgotten":        "运维人员已将其移除",
	"why_no_refresh_token": "微信没有给出 refresh token：帐号可能没有接口权限",
	"why_other_said":       "刷新失败：%s",
	"why_asked_for":        "正在获取 token",
}
