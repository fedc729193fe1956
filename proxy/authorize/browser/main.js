// What a merchant does with the pages, in Chromium. CHROMIUM is its path, RESOLVE how WeChat's
// names and ours are resolved, PAGE the first page, SCREENSHOTS a folder for pictures or
// nothing. It ends with status 0 if all is as it should be.
"use strict";
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { chromium } = require("playwright-core");
const jsQR = require("jsqr");

const { CHROMIUM, RESOLVE, PAGE, MERCHANT, SCREENSHOTS } = process.env;
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const pc = { viewport: { width: 1280, height: 800 } };
const phone = {
  viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true,
  userAgent: "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36 MicroMessenger/8.0.50",
};

// visit runs f with a page in a browser without cookies. What the policy of a page forbids
// is an error.
async function visit(browser, options, f) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
  const page = await context.newPage();
  const refused = [];
  page.on("console", (m) => { if (m.type() === "error" && !/favicon/.test(m.text() + m.location().url)) refused.push(m.text()); });
  try {
    await f(page, context);
    assert.deepEqual(refused.filter((text) => /Content Security Policy/i.test(text)), []);
  } finally {
    await context.close();
  }
}

// authorise goes from the first page over WeChat's to the last.
async function authorise(page) {
  await page.click("#go");
  assert.match(await page.textContent("h1"), /WeChat \(simulated\): authorise/, await page.content());
  await page.click(`button[value="${MERCHANT}"]`);
  await page.waitForURL(/\/authorized\?/);
}

// accessible wants nothing serious from axe.
async function accessible(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  const serious = violations.filter((v) => ["serious", "critical"].includes(v.impact));
  assert.deepEqual(serious.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" ")}`), [], name);
}

// fits wants no sideways scrolling.
async function fits(page, name) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(wide, 0, `${name} is ${wide} pixels too wide`);
}

// scanned is what a QR code on the page says.
async function scanned(page) {
  const side = Number((await page.getAttribute("figure svg", "viewBox")).split(" ")[2]);
  const d = await page.getAttribute("figure svg path:last-child", "d");
  const scale = 4, width = side * scale;
  const pixels = new Uint8ClampedArray(width * width * 4).fill(255);
  for (const [, x, y, n] of d.matchAll(/M(\d+) (\d+)h(\d+)v1h-\3z/g)) {
    for (let row = y * scale; row < (Number(y) + 1) * scale; row++) {
      for (let i = row * width + x * scale; i < row * width + (Number(x) + Number(n)) * scale; i++) {
        pixels.fill(0, 4 * i, 4 * i + 3);
      }
    }
  }
  return jsQR(pixels, width, width)?.data;
}

async function looks(page, name) {
  await accessible(page, name);
  await fits(page, name);
  if (SCREENSHOTS) {
    await page.screenshot({ path: path.join(SCREENSHOTS, name + ".png"), fullPage: true });
  }
}

const tests = {
  async "a merchant authorises without script, and loads the page again"(browser) {
    await visit(browser, { ...pc, locale: "zh-CN", javaScriptEnabled: false }, async (page) => {
      await page.goto(PAGE + "?auth_type=1");
      assert.equal(await page.textContent("h1"), "授权您的公众号");
      await authorise(page);
      assert.equal(await page.textContent("h1"), "授权成功");
      assert.match(await page.textContent("main"), new RegExp(MERCHANT));
      await page.reload();
      assert.equal(await page.textContent("h1"), "授权成功");
    });
  },

  async "a merchant authorises in WeChat on a phone, by keyboard"(browser) {
    await visit(browser, { ...phone, locale: "en-GB" }, async (page) => {
      await page.goto(PAGE);
      await page.keyboard.press("Tab");
      assert.equal(await page.evaluate(() => document.activeElement.id), "go");
      await page.keyboard.press("Enter");
      await page.waitForURL(/open\.weixin\.qq\.com\/wxaopen\/safe\/bindcomponent\?.*#wechat_redirect$/);
      await page.click(`button[value="${MERCHANT}"]`);
      await page.waitForURL(/\/authorized\?/);
      assert.equal(await page.textContent("h1"), "Authorised");
      assert.ok(await page.evaluate(() => document.querySelector("img").naturalWidth > 0), "the picture is not shown");
    });
  },

  async "the QR code says the page's address"(browser) {
    await visit(browser, pc, async (page) => {
      await page.goto(PAGE);
      assert.equal(await scanned(page), PAGE + "?auth_type=3");
      const query = "?auth_type=1&category_id_list=1%7C15&state=" + encodeURIComponent("茶".repeat(40));
      await page.goto(PAGE + query);
      assert.equal(await scanned(page), PAGE + query);
      await fits(page, "a long address");
    });
  },

  async "a link that somebody plants is refused"(browser) {
    let planted;
    await visit(browser, pc, async (attacker) => {
      await attacker.goto(PAGE);
      await authorise(attacker);
      planted = attacker.url();
    });
    await visit(browser, pc, async (victim) => {
      await victim.goto(PAGE); // has a visit of his own
      const answer = await victim.goto(planted);
      assert.equal(answer.status(), 403);
      assert.match(await victim.textContent("h1"), /may not be your/);
      await looks(victim, "foreign-en-pc-light");
      await victim.click(".button");
      assert.ok(await victim.isVisible("#go"), "one cannot begin again");
    });
  },

  async "a link that has run out gives way to one for a new page"(browser) {
    await visit(browser, { ...pc, locale: "zh-CN" }, async (page) => {
      await page.goto(PAGE + "?auth_type=2&state=s");
      assert.ok(await page.isVisible("#go") && !(await page.isVisible("#renew")));
      const old = await page.getAttribute("#go", "href");
      await page.evaluate(() => document.getAnimations().forEach((a) => a.finish()));
      assert.ok(!(await page.isVisible("#go")) && await page.isVisible("#renew"));
      await looks(page, "expired-zh-pc-light");
      await page.click("#renew");
      assert.ok(await page.isVisible("#go"));
      assert.notEqual(await page.getAttribute("#go", "href"), old);
      assert.match(page.url(), /\?auth_type=2&state=s$/);
    });
  },

  async "the pages look well in both languages, sizes and schemes"(browser) {
    for (const [locale, language] of [["zh-CN", "zh"], ["en-GB", "en"]]) {
      for (const [device, size] of [[pc, "pc"], [phone, "phone"]]) {
        for (const colorScheme of ["light", "dark"]) {
          await visit(browser, { ...device, locale, colorScheme }, async (page) => {
            const suffix = `${language}-${size}-${colorScheme}`;
            await page.goto(PAGE);
            await looks(page, "authorize-" + suffix);
            await authorise(page);
            await looks(page, "authorized-" + suffix);
          });
        }
      }
    }
    await visit(browser, { ...phone, locale: "zh-CN", userAgent: phone.userAgent.replace(/ MicroMessenger.*/, "") }, async (page) => {
      await page.goto(PAGE);
      await looks(page, "outside-zh-phone-light");
    });
  },
};

(async () => {
  const browser = await chromium.launch({
    executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-dev-shm-usage", "--host-resolver-rules=" + RESOLVE],
  });
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
