"""Calls WeChat with requests, as Python SDKs do: two accounts in one process.

It finds the sidecar by HTTPS_PROXY and REQUESTS_CA_BUNDLE alone, or by BASE_URL, and
knows no secret. The variables SHOP and OWN hold the appids of a merchant and of an
account of one's own. One round of calls is made for each line of standard input.
"""

import os
import sys

import requests

API = os.environ.get("BASE_URL", "https://api.weixin.qq.com")

# The answers after which SDKs fetch a new token and call once more.
STALE = (40001, 40014, 42001)


class Account:
    """One account, in the way of the SDKs: it fetches its token and keeps it."""

    def __init__(self, appid):
        self.appid = appid
        self.session = requests.Session()
        self.token = None

    def fetch(self):
        params = {"grant_type": "client_credential", "appid": self.appid, "secret": "held-by-wxsidecar"}
        self.token = self.session.get(API + "/cgi-bin/token", params=params, timeout=30).json()["access_token"]
        print(self.appid, "holds", self.token)

    def call(self, method, path, **kwargs):
        if self.token is None:
            self.fetch()
        answer = self.request(method, path, **kwargs)
        if answer.get("errcode", 0) in STALE:
            print(self.appid, "was answered", answer)
            self.fetch()
            answer = self.request(method, path, **kwargs)
        if answer.get("errcode", 0) != 0:
            raise RuntimeError(f"{path} for {self.appid}: {answer}")
        return answer

    def request(self, method, path, **kwargs):
        response = self.session.request(method, API + path, params={"access_token": self.token}, timeout=30, **kwargs)
        response.raise_for_status()
        return response.json()


def main():
    accounts = [Account(os.environ["SHOP"]), Account(os.environ["OWN"])]
    for number, _ in enumerate(sys.stdin, 1):
        for account in accounts:
            account.call("GET", "/cgi-bin/menu/get")
            text = '{"touser":"openid","msgtype":"text","text":{"content":"您的订单已发货"}}'
            account.call("POST", "/cgi-bin/message/custom/send", data=text.encode())
            print(account.appid, "got", account.call("GET", "/cgi-bin/getcallbackip"))
        print(f"round {number} ok", flush=True)


if __name__ == "__main__":
    main()
