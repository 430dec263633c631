--- How a report looks: on a screen, light or dark as the reader's system is, and on paper. It names no file and no font that
--- would have to be fetched. Contrasts are at least 4.5 to 1 for text, 3 to 1 for what is drawn.
return [[
:root {
  color-scheme: light dark;
  --paper: #fcfcfd; --panel: #ffffff; --tint: #f1f3f7; --ink: #1a202c; --soft: #525c6e; --line: #d6dbe4; --edge: #7b8698;
  --accent: #0b5cad; --good: #14692f; --good-tint: #e6f4ea; --bad: #a3231a; --bad-tint: #fdecea; --warn: #7a4b00; --warn-tint: #fdf3e1;
  --bar: #8a96aa; --way: #0b5cad; --down: #f6d7d3;
  --people: #eceff4; --edge-box: #e3eefb; --compute: #e4f3e6; --store: #f3e8fb; --watch: #fcf0d9; --other: #f1f3f7;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #12161d; --panel: #191f29; --tint: #202836; --ink: #e7ebf2; --soft: #a9b4c6; --line: #344054; --edge: #8793a8;
    --accent: #7cb8ff; --good: #7ddb98; --good-tint: #16301f; --bad: #ff9d94; --bad-tint: #3b1b1a; --warn: #f2c46d; --warn-tint: #352a14;
    --bar: #77839a; --way: #7cb8ff; --down: #4a2524;
    --people: #283142; --edge-box: #183150; --compute: #1b3a26; --store: #362546; --watch: #3b3018; --other: #252e3d;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
.skip { position: absolute; left: -999em; }
.skip:focus { left: 1rem; top: 1rem; padding: .5rem 1rem; background: var(--panel); color: var(--accent); z-index: 1; }
header, main, footer { max-width: 68rem; margin: 0 auto; padding: 0 clamp(1rem, 4vw, 2.5rem); }
header { padding-top: clamp(1.5rem, 5vw, 3.5rem); }
h1 { margin: 0; font-size: clamp(1.6rem, 4.5vw, 2.4rem); line-height: 1.15; letter-spacing: -.02em; overflow-wrap: anywhere; }
h2 { margin: 3rem 0 1rem; padding-bottom: .35rem; border-bottom: 2px solid var(--line); font-size: 1.4rem; line-height: 1.25; letter-spacing: -.01em; }
h3 { margin: 2rem 0 .6rem; font-size: 1.06rem; line-height: 1.35; }
h2 + h3, h2 + section h3 { margin-top: 0; }
p, ul { margin: 0 0 1rem; max-width: 46rem; }
.about { margin: .5rem 0 0; color: var(--soft); font-size: 1.1rem; }
.note { margin: 1rem 0 0; padding: .6rem 1rem; border-left: 4px solid var(--warn); background: var(--warn-tint); }
.verdict { margin: 1.5rem 0 0; padding: .9rem 1.1rem; max-width: none; border: 1px solid var(--good); border-left-width: 6px; border-radius: 6px;
  background: var(--good-tint); overflow-wrap: anywhere; }
.verdict strong { display: block; font-size: 1.25rem; color: var(--good); }
.verdict.bad { border-color: var(--bad); background: var(--bad-tint); }
.verdict.bad strong { color: var(--bad); }
.warning { padding: .6rem 1rem; border-left: 4px solid var(--bad); background: var(--bad-tint); font-weight: 600; }
nav { margin: 1.5rem 0 0; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; margin: 0; padding: 0; max-width: none; list-style: none; }
a { color: var(--accent); text-underline-offset: .15em; }
a:focus-visible, [tabindex]:focus-visible, summary:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
bdi, td, th, dd, li, code { unicode-bidi: isolate; }
.scroll { overflow-x: auto; margin: 0 0 1rem; border: 1px solid var(--line); border-radius: 6px; background: var(--panel); }
table { width: 100%; border-collapse: collapse; font-size: .92rem; line-height: 1.45; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
th, td { padding: .45rem .8rem; text-align: left; vertical-align: top; border-top: 1px solid var(--line); overflow-wrap: break-word; }
tr:first-child > * { border-top: 0; }
thead th { border-bottom: 1px solid var(--edge); background: var(--tint); font-weight: 600; white-space: nowrap; }
tbody th { font-weight: 500; }
tbody th, td { min-width: 5rem; max-width: 34rem; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.w { white-space: nowrap; }
code, .id { font-family: ui-monospace, "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: .88em; }
.id { overflow-wrap: anywhere; }
dl.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); margin: 0 0 1rem; border: 1px solid var(--line);
  border-radius: 6px; background: var(--panel); overflow: hidden; }
dl.facts > div { padding: .75rem 1rem; box-shadow: 1px 1px 0 var(--line); }
dt { color: var(--soft); font-size: .85rem; overflow-wrap: anywhere; }
dd { margin: .1rem 0 0; overflow-wrap: anywhere; } dl.facts strong { font-weight: 650; }
dl.commands > div { margin: 0 0 .9rem; }
dl.commands dt { color: inherit; }
dl.commands dd { margin: .2rem 0 0; font-weight: 400; color: var(--soft); }
dl.commands code { display: block; padding: .55rem .8rem; border: 1px solid var(--line); border-radius: 6px; background: var(--tint); color: var(--ink);
  overflow-wrap: anywhere; }
figure { margin: 0 0 1.5rem; }
.drawing { padding: .75rem; }
.drawing svg { display: block; margin: 0 auto; max-width: none; }
.drawing text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; fill: var(--ink); }
.drawing .title { font-weight: 650; }
.drawing .of-group { paint-order: stroke; stroke: var(--panel); stroke-width: 5px; stroke-linejoin: round; }
.drawing .more { font-size: 12px; fill: var(--soft); }
.drawing .label { font-size: 12px; fill: var(--ink); text-anchor: middle; }
.drawing .behind { fill: var(--panel); }
.drawing rect.box { stroke: var(--edge); fill: var(--other); }
.drawing rect.group { fill: none; stroke: var(--edge); stroke-dasharray: 5 4; }
.drawing rect.people { fill: var(--people); } .drawing rect.edge { fill: var(--edge-box); } .drawing rect.compute { fill: var(--compute); }
.drawing rect.store { fill: var(--store); } .drawing rect.watch { fill: var(--watch); }
.drawing .arrow { fill: none; stroke: var(--soft); stroke-width: 1.5; } .drawing .head { fill: var(--soft); }
details { margin: .5rem 0 0; font-size: .92rem; } summary { color: var(--accent); cursor: pointer; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; margin: 0 0 .6rem; padding: 0; max-width: none; list-style: none; font-size: .88rem; color: var(--soft); }
.legend svg { width: 1.6rem; height: .7rem; margin-right: .4rem; }
.time th, .time td { padding-top: .18rem; padding-bottom: .18rem; }
.time tbody th[scope=rowgroup] { padding-top: .7rem; font-weight: 650; background: var(--tint); }
.time .what { min-width: 13rem; max-width: 22rem; }
.time .bar { position: relative; width: 45%; min-width: 11rem; }
.time td.bar svg { position: absolute; top: 0; left: .8rem; width: calc(100% - 1.6rem); height: 100%; }
.time .axis { display: flex; justify-content: space-between; font-weight: 400; font-variant-numeric: tabular-nums; }
.time .n { min-width: 4.5rem; }
.does { fill: var(--bar); } .way { fill: var(--way); } .down { fill: var(--down); } .open { fill: var(--bad); }
.on-way { font-weight: 650; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
footer { margin-top: 3rem; padding-top: 1rem; padding-bottom: 3rem; color: var(--soft); font-size: .88rem; }
@media (max-width: 40rem) { .time .what { min-width: 9rem; max-width: 11rem; } }
@media (max-width: 30rem) { th, td { padding-left: .6rem; padding-right: .6rem; } }
@media print {
  @page { size: A4; margin: 14mm 12mm; }
  :root {
    --paper: #ffffff; --panel: #ffffff; --tint: #f1f3f7; --ink: #000000; --soft: #3d4656; --line: #c3cad6; --edge: #7b8698;
    --accent: #0b5cad; --good: #14692f; --good-tint: #ffffff; --bad: #a3231a; --bad-tint: #ffffff; --warn: #7a4b00; --warn-tint: #ffffff;
    --bar: #8a96aa; --way: #0b5cad; --down: #f6d7d3;
    --people: #eceff4; --edge-box: #e3eefb; --compute: #e4f3e6; --store: #f3e8fb; --watch: #fcf0d9; --other: #f1f3f7;
  }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  body { font-size: 10pt; line-height: 1.4; }
  header, main, footer { max-width: none; padding-left: 0; padding-right: 0; }
  header { padding-top: 0; }
  nav, .skip, details { display: none; }
  h2, h3 { break-after: avoid; }
  h2 { margin-top: 1.6rem; }
  tr, figure, .verdict, dl > div { break-inside: avoid; }
  figure:has(table) { break-inside: auto; }
  tbody tr:first-child { break-before: avoid; }
  thead { display: table-header-group; }
  .scroll { overflow: visible; border: 0; border-radius: 0; }
  table { font-size: 8.5pt; } th, td { padding: .22rem .4rem; min-width: 0 !important; } td { overflow-wrap: anywhere; }
  thead th { white-space: normal; }
  .n { white-space: normal; }
  .time .what { max-width: 16rem; } .time .bar { width: 40%; }
  .drawing { padding: 0; } .drawing svg { max-width: 100%; max-height: 96mm; height: auto; }
  a { color: inherit; text-decoration: none; }
}
]]
