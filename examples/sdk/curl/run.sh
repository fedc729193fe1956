#!/bin/sh
# Calls WeChat with curl in each way in. APPS and ALIAS are host:port of the sidecar's
# listeners listen.apps and alias.https, CA the path of its certificate, SHOP and OWN
# the appids of two accounts. One round of calls is made for each line of standard
# input.
set -eu

# call URL OPTION...: makes a call that must succeed.
call() {
  url=$1
  shift
  answer=$(curl --silent --show-error --fail --max-time 30 "$@" "$url")
  case $answer in
    *'"errcode":0'* | *'"ip_list"'* | *'"menu"'*) ;;
    *) echo "$url: $answer" >&2 && exit 1 ;;
  esac
}

# handle APPID: what an SDK gets in a token's place.
handle() {
  curl --silent --show-error --fail --max-time 30 \
    "http://$APPS/cgi-bin/token?grant_type=client_credential&appid=$1&secret=held-by-wxsidecar" |
    sed 's/.*"access_token":"\([^"]*\)".*/\1/'
}

SHOP_HANDLE=$(handle "$SHOP")
OWN_HANDLE=$(handle "$OWN")
echo "$SHOP holds $SHOP_HANDLE"
echo "$OWN holds $OWN_HANDLE"
path=/cgi-bin/menu/get
round=0
while read -r _; do
  # Base URL: by header, by path prefix, by handle.
  call "http://$APPS$path" --header "X-Wechat-Appid: $SHOP"
  call "http://$APPS/$OWN$path"
  call "http://$APPS$path?access_token=$OWN_HANDLE"
  # http_proxy: absolute form.
  call "http://api.weixin.qq.com$path?access_token=$SHOP_HANDLE" --proxy "http://$APPS"
  # HTTPS_PROXY: CONNECT.
  HTTPS_PROXY=http://$APPS CURL_CA_BUNDLE=$CA call "https://api.weixin.qq.com$path?access_token=$OWN_HANDLE"
  # Alias: --connect-to stands in for the hosts entry and for port 443.
  call "https://api.weixin.qq.com$path?access_token=$SHOP_HANDLE" --cacert "$CA" --connect-to "api.weixin.qq.com:443:$ALIAS"
  round=$((round + 1))
  echo "round $round ok"
done
# What is not WeChat's is refused, in either form.
status=$(curl --silent --output /dev/null --write-out '%{http_code}' --proxy "http://$APPS" http://other.example/)
[ "$status" = 403 ] || { echo "http://other.example/ by proxy: $status" >&2 && exit 1; }
status=$(curl --silent --output /dev/null --write-out '%{http_connect}' --proxy "http://$APPS" https://other.example/) || true
[ "$status" = 403 ] || { echo "https://other.example/ by proxy: $status" >&2 && exit 1; }
echo "refused ok"
