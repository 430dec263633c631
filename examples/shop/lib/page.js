'use strict';
// The front page.

const escape = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
const money = (cents) => `$${(cents / 100).toFixed(2)}`;

function front(name, totals, visits) {
  const rows = Object.entries(totals.by_status)
    .map(([status, part]) => `<tr><td>${escape(status)}</td><td>${part.orders}</td><td>${money(part.total_cents)}</td></tr>`);
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>${escape(name)}</title></head>
<body>
<h1>${escape(name)}</h1>
<p>${totals.orders} orders, ${money(totals.total_cents)} in all. Your visits: ${visits}.</p>
<table>
<tr><th>Status</th><th>Orders</th><th>Total</th></tr>
${rows.join('\n')}
</table>
</body>
</html>
`;
}

module.exports = { front };
