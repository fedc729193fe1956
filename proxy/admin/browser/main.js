// What an operator does with the page, in Chromium. CHROMIUM is its path, PAGE the page of a
// sidecar with troubles, KEYED that of one with a KEY, CONTROL what changes the sidecar, OWN and
// MERCHANT two of its accounts, SCREENSHOTS and PICTURES folders for pictures or nothing. It
// ends with status 0 if all is as it should be.
"use strict";
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { chromium } = require("playwright-core");

const { CHROMIUM, PAGE, KEYED, KEY, CONTROL, OWN, MERCHANT, SCREENSHOTS, PICTURES } = process.env;
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const pc = { viewport: { width: 1280, height: 800 } };
const phone = { viewport: { width: 360, height: 780 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

// visit runs f with a page in a browser of its own. Errors and what the policy forbids fail.
async function visit(browser, options, f) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (m) => { if (m.type() === "error" && !/favicon/.test(m.text() + m.location().url)) wrong.push(m.text()); });
  page.on("pageerror", (e) => wrong.push(String(e)));
  try {
    await f(page, context, wrong);
    assert.deepEqual(wrong, []);
    assert.notEqual(await page.title(), "hacked");
  } finally {
    await context.close();
  }
}

// looks wants nothing serious from axe, and no sideways scrolling.
async function looks(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  const serious = violations.filter((v) => ["serious", "critical"].includes(v.impact));
  assert.deepEqual(serious.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" ")}`), [], name);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(wide, 0, `${name} is ${wide} pixels too wide`);
  if (SCREENSHOTS) {
    await page.screenshot({ path: path.join(SCREENSHOTS, name + ".png"), fullPage: true });
  }
}

const tests = {
  async "the page looks well in both languages, sizes and schemes"(browser) {
    for (const [locale, first] of [["zh-CN", "出口 IP 不在微信的白名单里"], ["en-GB", "Our address is not on WeChat's list"]]) {
      for (const [device, size] of [[pc, "pc"], [phone, "phone"]]) {
        for (const colorScheme of ["light", "dark"]) {
          await visit(browser, { ...device, locale, colorScheme }, async (page) => {
            await page.goto(PAGE);
            assert.match(await page.textContent("article h3"), new RegExp(first));
            assert.ok(await page.locator("article").first().isVisible());
            await looks(page, `page-${locale.slice(0, 2)}-${size}-${colorScheme}`);
          });
        }
      }
    }
  },

  async "pictures for the documents"(browser) {
    for (const locale of PICTURES ? ["zh-CN", "en-GB"] : []) {
      await visit(browser, { viewport: { width: 800, height: 640 }, locale }, async (page) => {
        await page.goto(PAGE);
        await page.screenshot({ path: path.join(PICTURES, `page-${locale.slice(0, 2)}.png`) });
      });
    }
  },

  async "an operator searches, renews and changes the language without script"(browser) {
    await visit(browser, { ...pc, locale: "en-GB", javaScriptEnabled: false }, async (page) => {
      await page.goto(PAGE);
      await page.fill("input[name=q]", MERCHANT.slice(2));
      await page.selectOption("select[name=state]", "live");
      await page.click(".search button");
      const rows = page.locator("#account-list tbody tr");
      assert.equal(await rows.count(), 1);
      assert.match(await rows.first().textContent(), new RegExp(MERCHANT));
      await rows.first().locator("button").click();
      assert.match(await page.textContent("[role=status]"), new RegExp("Renewed · " + MERCHANT));
      assert.equal(await page.inputValue("input[name=q]"), MERCHANT.slice(2), "the search is lost");
      assert.equal(await page.inputValue("select[name=state]"), "live");
      await page.click("nav a[lang]");
      assert.equal(await page.textContent("#hosts-title"), "微信的域名");
      await page.reload();
      await page.goto(PAGE);
      assert.equal(await page.textContent("#hosts-title"), "微信的域名", "the language is not kept");
    });
  },

  async "an operator gets the page that a merchant authorises on, by keyboard"(browser) {
    await visit(browser, { ...pc, locale: "en-GB" }, async (page) => {
      await page.goto(PAGE);
      await page.keyboard.press("Tab");
      assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
      await page.locator("#components button", { hasText: "Authorization page" }).focus();
      await page.keyboard.press("Enter");
      await page.waitForSelector("[role=status]");
      assert.match(await page.textContent("[role=status]"), /https:\/\/b\.example\/wechat\/wx7f00c0de00000001\/authorize/);
    });
  },

  async "what did not work is said"(browser) {
    await visit(browser, { ...pc, locale: "en-GB" }, async (page) => {
      await page.goto(PAGE + "?q=" + OWN);
      await page.locator("#account-list button").first().click();
      assert.match(await page.textContent("[role=status]"), /It did not work.*40164/s);
    });
  },

  async "markup that others write does nothing"(browser) {
    await visit(browser, { ...pc, locale: "en-GB" }, async (page) => {
      await page.goto(PAGE);
      assert.match(await page.textContent("main"), /<script>document\.title/);
      assert.equal(await page.locator("main script, main img").count(), 0);
      await page.goto(PAGE + "?q=" + encodeURIComponent('"><script>document.title="hacked"</script>'));
      assert.equal(await page.locator("main script").count(), 0);
    });
  },

  async "another site's form does nothing"(browser) {
    await visit(browser, pc, async (page, _context, wrong) => {
      await page.goto(CONTROL + "/");
      await page.setContent(`<form method="post" action="${PAGE}act/reload"><button>x</button></form>`);
      const [answer] = await Promise.all([page.waitForResponse((r) => r.url().endsWith("/act/reload")), page.click("button")]);
      assert.equal(answer.status(), 403);
      wrong.length = 0; // Chromium reports the status
    });
  },

  async "with a key the browser asks for it, and then acts"(browser) {
    const context = await browser.newContext();
    assert.equal((await context.request.get(KEYED)).status(), 401);
    await context.close();
    await visit(browser, { ...pc, locale: "en-GB", httpCredentials: { username: "anybody", password: KEY } }, async (page) => {
      await page.goto(KEYED);
      assert.match(await page.textContent("article h3"), /No ticket/);
      await page.click("#sidecar button");
      assert.match(await page.textContent("[role=status]"), /The configuration is in force/);
      await page.evaluate(() => { document.querySelector("#as-of").textContent = "old"; });
      await page.waitForFunction(() => document.querySelector("#as-of").textContent !== "old");
    });
  },

  async "the page follows by itself, says when it cannot, and goes on"(browser) {
    await visit(browser, { ...pc, locale: "en-GB" }, async (page, _context, wrong) => {
      await page.goto(PAGE);
      await page.fill("input[name=q]", "typing");
      await fetch(CONTROL + "/cure");
      await page.waitForFunction(() => !/not on WeChat/.test(document.querySelector("#wrong").textContent));
      assert.equal(await page.inputValue("input[name=q]"), "typing");
      assert.equal(await page.evaluate(() => document.activeElement.name), "q", "the focus is lost");
      assert.ok(!(await page.isVisible("#lost")));
      await fetch(CONTROL + "/stop");
      await page.waitForSelector("#lost:visible", { timeout: 60000 });
      await fetch(CONTROL + "/go");
      await page.waitForSelector("#lost", { state: "hidden", timeout: 60000 });
      wrong.length = 0; // Chromium reports calls that fail
    });
  },
};

(async () => {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  let failed = 0;
  for (const [name, test] of Object.entries(tests)) {
    try {
      await test(browser);
      console.log("ok " + name);
    } catch (err) {
      failed++;
      console.log(`not ok ${name}\n${err.stack}`);
    }
  }
  await browser.close();
  process.exit(failed ? 1 : 0);
})();
