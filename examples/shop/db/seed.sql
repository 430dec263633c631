-- Fills an empty shop. The same rows every time: nothing here is random and no date is "now".
-- Number of orders: the setting shop.orders, as in  PGOPTIONS='-c shop.orders=2000' psql -1 -f db/seed.sql

SET LOCAL jit = off;
SET LOCAL work_mem = '64MB';

CREATE TEMPORARY TABLE size ON COMMIT DROP AS
  SELECT n AS orders, greatest(n / 5, 10) AS customers, least(greatest(n / 20, 20), 500) AS products,
         greatest(n / 10, 5) AS reviews, timestamptz '2025-10-01Z' AS start, interval '360 days' / n AS step
    FROM (SELECT coalesce(nullif(current_setting('shop.orders', true), ''), '100000')::integer AS n) AS setting;

INSERT INTO categories (id, parent_id, slug, name)
  SELECT n, CASE WHEN n > 4 THEN 1 + n % 4 END, 'category-' || n, 'Category ' || n
    FROM generate_series(1, 20) AS n ORDER BY n;

INSERT INTO products (id, category_id, sku, name, description, tags, price_cents, weight_kg, retired)
  SELECT n, 1 + n % 20, format('SKU-%s', lpad(n::text, 6, '0')),
         (ARRAY['Teapot', 'Kettle', 'Café crème', 'Größe', '湯呑み', 'O''Brien''s mug'])[1 + n % 6] || ' ' || n,
         repeat('Made by hand. ', 1 + n % 9),
         ARRAY[(ARRAY['red', 'green', 'blue'])[1 + n % 3], CASE WHEN n % 7 = 0 THEN 'has, comma' ELSE 'plain' END],
         199 + (n * 7919) % 20000, CASE WHEN n % 11 <> 0 THEN n % 400 / 8.0 END, n % 25 = 0
    FROM size, generate_series(1, size.products) AS n;

INSERT INTO inventory (product_id, on_hand, reserved, "reorderLevel")
  SELECT n, 10000000, n % 10, 10 + n % 90 FROM size, generate_series(1, size.products) AS n;

INSERT INTO customers (id, email, name, born, preferences, created_at)
  SELECT n, format('Customer.%s@example.com', n),
         (ARRAY['Ada', 'Björn', 'Chloé', '秀樹', 'Мария', E'Tab\there', 'Back\slash'])[1 + n % 7] || ' ' || n,
         CASE WHEN n % 3 <> 0 THEN date '1950-01-01' + n % 18000 END,
         jsonb_build_object('newsletter', n % 2 = 0, 'language', (ARRAY['en', 'de', 'ja'])[1 + n % 3]),
         size.start - interval '1 year' + n * interval '1 minute'
    FROM size, generate_series(1, size.customers) AS n;

INSERT INTO addresses (id, customer_id, "kind", street, city, postcode, country)
  SELECT row_number() OVER (ORDER BY n, k), n, (ARRAY['home', 'work'])[k], format('%s High Street', n * k),
         'City ' || n % 90, lpad((n % 99999)::text, 5, '0'), (ARRAY['US', 'DE', 'JP'])[1 + n % 3]
    FROM size, generate_series(1, size.customers) AS n, generate_series(1, 1 + (n % 5 = 0)::integer) AS k;

CREATE TEMPORARY TABLE line ON COMMIT DROP AS
  SELECT n AS order_id, k AS line_no, p.id AS product_id, 1 + (n + k) % 4 AS quantity, p.price_cents AS unit_cents
    FROM size, generate_series(1, size.orders) AS n, generate_series(1, 1 + n % 3) AS k, products p
   WHERE p.id = 1 + (n * 31 + k * 17) % size.products;

-- Built once at the end rather than row by row, like the foreign keys below.
CREATE TEMPORARY TABLE index_later ON COMMIT DROP AS
  SELECT indexrelid::regclass::text AS name, replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ') AS definition
    FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
   WHERE NOT indisunique AND NOT t.relispartition
     AND indrelid IN ('orders'::regclass, 'order_lines'::regclass, 'payments'::regclass, 'events'::regclass, 'reviews'::regclass);
DO $$
DECLARE
  index text;
BEGIN
  FOR index IN SELECT name FROM index_later LOOP EXECUTE 'DROP INDEX ' || index; END LOOP;
END $$;

-- Checked once at the end rather than row by row: three times as fast.
ALTER TABLE orders DROP CONSTRAINT orders_customer_id_fkey;
ALTER TABLE order_lines DROP CONSTRAINT order_lines_order_id_fkey, DROP CONSTRAINT order_lines_product_id_fkey;
ALTER TABLE payments DROP CONSTRAINT payments_order_id_fkey;

INSERT INTO orders (id, number, public_id, customer_id, status, total_cents, attributes, created_at, updated_at)
  SELECT n, 'S-' || lpad(n::text, 9, '0'), md5('order ' || n)::uuid, 1 + (n::bigint * 7919) % size.customers,
         (ARRAY['pending', 'paid', 'paid', 'paid', 'shipped', 'shipped', 'shipped', 'shipped', 'cancelled',
                'refunded'])[1 + n % 10]::order_status,
         total, jsonb_build_object('channel', (ARRAY['web', 'phone', 'app'])[1 + n % 3], 'gift', n % 9 = 0, 'shelf', n % 700),
         size.start + n * step, size.start + n * step + interval '1 hour'
    FROM size, (SELECT order_id AS n, sum(quantity * unit_cents) AS total FROM line GROUP BY order_id) AS sums
   ORDER BY n;

ALTER TABLE order_lines DISABLE TRIGGER USER;       -- the totals are right already
INSERT INTO order_lines (order_id, line_no, product_id, quantity, unit_cents)
  SELECT order_id, line_no, product_id, quantity, unit_cents FROM line ORDER BY order_id, line_no;
ALTER TABLE order_lines ENABLE TRIGGER USER;

INSERT INTO payments (order_id, amount_cents, signature, paid_at)
  SELECT id, total_cents, decode(md5('payment ' || id) || md5('signature ' || id), 'hex'), created_at + interval '1 minute'
    FROM orders WHERE status <> 'pending' ORDER BY id;

ALTER TABLE orders ADD FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE order_lines ADD FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE,
                        ADD FOREIGN KEY (product_id) REFERENCES products (id);
ALTER TABLE payments ADD FOREIGN KEY (order_id) REFERENCES orders (id);

INSERT INTO events (at, order_id, kind, client, detail)
  SELECT created_at, id, 'order created', ('10.' || id % 250 || '.' || id / 250 % 250 || '.7')::inet,
         CASE WHEN id % 4 = 0 THEN jsonb_build_object('referrer', 'https://example.com/?q=' || id) END
    FROM orders ORDER BY id;
INSERT INTO events (at, order_id, kind)
  SELECT created_at + interval '2 days', id, 'order shipped' FROM orders WHERE status = 'shipped' ORDER BY id;

INSERT INTO reviews (id, product_id, customer_id, stars, body, created_at)
  SELECT n, 1 + n % size.products, 1 + (n * 37) % size.customers, 1 + n % 5,
         CASE WHEN n % 400 = 0                       -- a long one that does not compress: stored out of line
              THEN (SELECT string_agg(md5(n || '.' || k), E'\n' ORDER BY k) FROM generate_series(1, 900) AS k)
              ELSE repeat(format(E'Review %s: "good", it''s \\N worth 5 €.\n', n), 1 + n % 40) END,
         size.start + n * step * 9
    FROM size, generate_series(1, size.reviews) AS n;

SELECT setval('categories_id_seq', max(id)) FROM categories;
SELECT setval('products_id_seq', max(id)) FROM products;
SELECT setval('customers_id_seq', max(id)) FROM customers;
SELECT setval('addresses_id_seq', max(id)) FROM addresses;
SELECT setval('reviews_id_seq', max(id)) FROM reviews;
SELECT setval(pg_get_serial_sequence('orders', 'id'), max(id)) FROM orders;
SELECT setval('order_numbers', max(id)) FROM orders;

DO $$
DECLARE
  definition text;
BEGIN
  FOR definition IN SELECT index_later.definition FROM index_later LOOP EXECUTE definition; END LOOP;
END $$;

REFRESH MATERIALIZED VIEW product_sales;
ANALYZE categories, products, inventory, customers, addresses, orders, order_lines, payments, events, reviews;
