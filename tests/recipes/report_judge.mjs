// Opens pages in headless Chromium, at several widths, light and dark, and on paper, and says what it saw, as JSON:
//   node report_judge.mjs CHROMIUM AXE.js FOLDER PAGE.html...
// It talks to the browser through a pipe (the DevTools protocol), so nothing listens on a port. PICTURES=1 leaves a picture of each
// in the folder, and the PDF, for people to look at.
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'

const [chromium, axePath, folder, ...pages] = process.argv.slice(2)
const WIDTHS = [360, 820, 1440]
const axe = readFileSync(axePath, 'utf8')

const browser = spawn(chromium, ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync', '--hide-scrollbars', `--user-data-dir=${join(folder, 'profile')}`,
  '--host-resolver-rules=MAP * ~NOTFOUND', '--remote-debugging-pipe', 'about:blank'], { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] })

const waiting = new Map()
const listeners = new Set()
let last = 0
let rest = ''
browser.stdio[4].on('data', bytes => {
  const parts = (rest + bytes).split('\0')
  rest = parts.pop()
  for (const part of parts) {
    const message = JSON.parse(part)
    if (message.id) {
      const { resolve, reject, method } = waiting.get(message.id)
      waiting.delete(message.id)
      if (message.error) reject(new Error(`${method}: ${message.error.message}`))
      else resolve(message.result)
    } else for (const listener of listeners) listener(message)
  }
})
browser.on('exit', code => {
  for (const { reject } of waiting.values()) reject(new Error(`the browser ended with ${code}`))
})

function call (method, params = {}, sessionId) {
  return new Promise((resolve, reject) => {
    waiting.set(++last, { resolve, reject, method })
    browser.stdio[3].write(JSON.stringify({ id: last, method, params, sessionId }) + '\0')
  })
}

// What the page is asked, in the browser.
function look (width) {
  const wide = []
  for (const e of document.querySelectorAll('body *')) {
    const box = e.getBoundingClientRect()
    if (box.right > width + 1 && !e.closest('.scroll') && getComputedStyle(e).position !== 'absolute') wide.push(e.tagName + ' ' + e.className)
  }
  const text = e => e.textContent
  return {
    overflow: document.scrollingElement.scrollWidth - width, wide,
    headings: [...document.querySelectorAll('h1, h2')].map(text),
    bars: [...document.querySelectorAll('table.time tbody tr')].map(tr => {
      const bar = tr.querySelector('.bar svg rect:last-child')
      if (!bar) return null
      const [, began, took] = [...tr.children].map(c => c.querySelector('time')?.getAttribute('datetime') ?? c.firstChild.textContent)
      const box = bar.getBoundingClientRect()
      const all = bar.parentNode.getBoundingClientRect()
      return { began, took, left: (box.left - all.left) / all.width, width: box.width / all.width }
    }).filter(Boolean),
    paper: getComputedStyle(document.body).backgroundColor
  }
}

// axe is put into the page by the debugger, past the page's own policy, which allows no script.
async function accessible (evaluate) {
  await evaluate(axe + '; undefined')
  const { violations, passes } = await evaluate('axe.run(document, { resultTypes: ["violations"] })')
  return { violations: violations.map(v => `${v.id}: ${v.nodes.length} x ${v.nodes[0].html.slice(0, 160)} ${v.nodes[0].failureSummary ?? ''}`),
    rules: passes.length }
}

async function open (page) {
  const { targetId } = await call('Target.createTarget', { url: 'about:blank' })
  const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true })
  const seen = { page: basename(page), requests: [], console: [], at: {} }
  const loaded = { resolve: null }
  const listener = ({ method, params, sessionId: from }) => {
    if (from !== sessionId) return
    if (method === 'Network.requestWillBeSent') seen.requests.push(params.request.url)
    if (method === 'Runtime.consoleAPICalled') seen.console.push(params.args.map(a => a.value ?? a.description).join(' '))
    if (method === 'Runtime.exceptionThrown') seen.console.push(params.exceptionDetails.text)
    if (method === 'Log.entryAdded') seen.console.push(params.entry.text)
    if (method === 'Page.loadEventFired') loaded.resolve?.()
  }
  listeners.add(listener)
  const tell = (method, params) => call(method, params, sessionId)
  const evaluate = async expression => {
    const { result, exceptionDetails } = await tell('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true })
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
    return result.value
  }
  for (const domain of ['Page', 'Network', 'Runtime', 'Log']) await tell(`${domain}.enable`)
  const load = async () => {
    const done = new Promise(resolve => { loaded.resolve = resolve })
    await tell('Page.navigate', { url: pathToFileURL(page).href })
    await done
  }
  for (const width of WIDTHS) {
    await tell('Emulation.setDeviceMetricsOverride', { width, height: 900, deviceScaleFactor: 1, mobile: width < 600 })
    for (const scheme of ['light', 'dark']) {
      await tell('Emulation.setEmulatedMedia', { media: 'screen', features: [{ name: 'prefers-color-scheme', value: scheme }] })
      await load()
      const found = await evaluate(`(${look})(${width})`)
      if (width === WIDTHS[0] || scheme === 'dark') Object.assign(found, await accessible(evaluate))
      if (process.env.PICTURES) {
        const { data } = await tell('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true })
        writeFileSync(join(folder, `${basename(page, '.html')}-${width}-${scheme}.png`), Buffer.from(data, 'base64'))
      }
      seen.at[`${width} ${scheme}`] = found
    }
  }
  await tell('Emulation.setEmulatedMedia', { media: '', features: [] })
  const { data } = await tell('Page.printToPDF', { preferCSSPageSize: true, printBackground: true })
  const pdf = Buffer.from(data, 'base64')
  seen.sheets = pdf.toString('latin1').match(/\/Type\s*\/Page\b/g)?.length ?? 0
  if (process.env.PICTURES) writeFileSync(join(folder, basename(page, '.html') + '.pdf'), pdf)
  listeners.delete(listener)
  await call('Target.closeTarget', { targetId })
  return seen
}

try {
  const seen = []
  for (const page of pages) seen.push(await open(page))
  process.stdout.write(JSON.stringify(seen))
} finally {
  browser.kill()
}
