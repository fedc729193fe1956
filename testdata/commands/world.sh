# A machine of its own for the commands of one document: loopback, files and processes are nobody else's.
#
#   unshare --map-root-user --net --mount --pid --fork --kill-child bash world.sh SCRATCH KEPT...
#
# SCRATCH has the blocks of commands, 1.sh and so on, and plan.sh, which says what becomes of each. Their
# output goes to 1.out and so on. KEPT are further folders of the real machine that the commands may use.
set -euo pipefail
scratch=$1

# Everything outside the scratch folder that commands write to is in memory.
if [ "${INSIDE:-}" = "" ]; then
  ip link set lo up
  ip address add 9.9.9.9/32 dev lo # WeChat's: the sidecar calls it at public addresses only
  mount --make-rprivate /
  mount -t tmpfs tmpfs /mnt
  for dir in /*; do
    case $dir in
      /mnt | /data) continue ;;
      /etc | /home | /run | /tmp) mkdir -p "/mnt$dir" ;;
      *) if [ -L "$dir" ]; then cp -P "$dir" /mnt/; elif [ -d "$dir" ]; then mkdir -p "/mnt$dir" && mount --rbind "$dir" "/mnt$dir"; fi ;;
    esac
  done
  cp -r --no-dereference --preserve=mode /etc/. /mnt/etc 2>/dev/null || true # but what root alone may read
  mount -t tmpfs tmpfs /mnt/var/lib
  chmod 1777 /mnt/tmp
  mkdir -p /mnt/data /mnt/run/wxsidecar /mnt/var/lib/wxsidecar
  for dir in "$@"; do mkdir -p "/mnt$dir" && mount --rbind "$dir" "/mnt$dir"; done
  INSIDE=yes exec chroot /mnt bash "${BASH_SOURCE[0]}" "$@"
fi

# The same for every document and at every time, so that Go compiles a clone once.
export HOME=/home/user
mkdir "$HOME"
cat >"$HOME/.curlrc" <<'END'
fail-with-body
show-error
max-time = 30
END
cd "$HOME"
jobs=()

# await waits until a job has printed a text.
await() { # job, text, process
  for ((i = 0; i < 1200; i++)); do
    if grep -qF -e "$2" "$scratch/$1.out"; then return; fi
    kill -0 "$3" 2>/dev/null || break
    sleep 0.05 # between two looks
  done
  echo "$1 ended, or took a minute, without: $2" >&2
  return 1
}

# start runs a command like in a terminal of its own, and returns once it has printed a text.
start() { # job, text, command
  local job=$1 text=$2
  shift 2
  : >"$scratch/$job.out"
  set -m # so that it is a group of its own, which a signal can be sent to
  ("$@") >"$scratch/$job.out" 2>&1 </dev/null &
  set +m
  jobs+=($!)
  await "$job" "$text" $!
}

end_all() {
  local job
  for job in "${jobs[@]}"; do
    kill -TERM -- "-$job" 2>/dev/null || true
    wait "$job" || true
  done
  jobs=()
}

# The words of plan.sh.

run() { # block
  block=$1
  . "$scratch/$1.sh" >"$scratch/$1.out" 2>&1 </dev/null
}

# sourced runs a block in a job, and tells where it went.
sourced() {
  cd() { builtin cd "$@" && pwd >"$scratch/cwd"; }
  trap : INT # the command decides what becomes of it
  . "$scratch/$1.sh"
}

stays() { # block, text
  block=$1
  rm -f "$scratch/cwd"
  start "$1" "$2" sourced "$1"
  if [ -e "$scratch/cwd" ]; then cd "$(cat "$scratch/cwd")"; fi
}

# interrupted is a block that Ctrl-C ends. Its exit code says nothing: that of go run is then 1.
interrupted() { # block, text
  stays "$@"
  kill -INT -- "-${jobs[-1]}"
  wait "${jobs[-1]}" || true
  unset 'jobs[-1]'
}

with() { # set-up
  block=$1
  "with_$1" >"$scratch/$1.out" 2>&1
}

# Set-ups. One that says so ends all that runs.

# clone: in a clone. Ends all.
with_clone() {
  end_all
  [ -d "$HOME/clone" ] || git clone -q https://github.com/wxsidecar/wxsidecar "$HOME/clone"
  cd "$HOME/clone"
}

# wechat: WeChat's names lead to a simulated WeChat, with a platform whose credentials are in
# /run/secrets. Ends all.
with_wechat() {
  end_all
  grep -q api.weixin /etc/hosts || echo 9.9.9.9 api.weixin.qq.com api2.weixin.qq.com >>/etc/hosts
  mkdir -p /run/secrets
  printf %s 0123456789abcdef0123456789abcdef | tee /run/secrets/component_secret >/run/secrets/account_secret
  printf %s simulatorPushToken >/run/secrets/push_token
  printf %s abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG >/run/secrets/encoding_aes_key
  start simulator 'try: curl' simulator -tls -ca-file "$scratch/wechat.pem" -listen 9.9.9.9:443 -component wx0123456789abcdef \
    -authorizers 1 -push-url http://127.0.0.1:7081/wechat/wx0123456789abcdef/event
  export WXSIDECAR_UPSTREAM_CA_FILE=$scratch/wechat.pem
}

# ticket: WeChat has pushed a ticket, and all tokens are there.
with_ticket() {
  curl -X POST http://127.0.0.1:8081/control/push-ticket
  wxsidecar wait --timeout 20s
}

# sidecar: one in front of wechat, with its tokens. Ends all.
with_sidecar() {
  with_wechat
  cat >/run/wxsidecar.yaml <<'END'
components:
  - appid: wx0123456789abcdef
    secret_file: /run/secrets/component_secret
    push_token_file: /run/secrets/push_token
    encoding_aes_key_file: /run/secrets/encoding_aes_key
data_dir: /var/lib/wxsidecar
store: bolt:/var/lib/wxsidecar/wxsidecar.db
alias: {https: "127.0.0.1:443"}
END
  start sidecar '"listener":"admin"' wxsidecar serve --config /run/wxsidecar.yaml
  with_ticket
}

# socket: the sidecar again, with its apps on a socket. Ends all but WeChat.
with_socket() {
  with_sidecar
  kill -TERM -- "-${jobs[-1]}" && wait "${jobs[-1]}"
  unset 'jobs[-1]'
  start sidecar '"listener":"admin"' wxsidecar serve --config /run/wxsidecar.yaml --listen-apps unix:///run/wxsidecar/apps.sock
}

block=
trap 'code=$?; [ $code = 0 ] || { echo "failed: $block" >&2; tail -n 30 "$scratch/$block.out" >&2; }' EXIT
. "$scratch/plan.sh"
end_all
