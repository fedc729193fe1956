package releasecheck

// testAccounts are the appids of WeChat's test accounts, five official accounts and five mini
// programs, as its Chinese page has them. The English page has typing errors.
var testAccounts = map[string]bool{
	"wx570bc396a51b8ff8": true, "wxd101a85aa106f53e": true,
	"wx9252c5e0bb1836fc": true, "wxc39235c15087f6f3": true,
	"wx8e1097c5bc82cde9": true, "wx7720d01d4b2a4500": true,
	"wx14550af28c71a144": true, "wx05d483572dcd5d8b": true,
	"wxa35b9c23cfe664eb": true, "wx5910277cae6fd970": true,
}
