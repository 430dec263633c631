'use strict';
// The config vars of the shop. A missing one stops the process at once, with its name.

function required(name) {
  const value = process.env[name];
  if (value === undefined || value === '') {
    console.error(`shop: the config var ${name} is not set`);
    process.exit(1);
  }
  return value;
}

function number(name, otherwise) {
  const value = process.env[name];
  if (value === undefined || value === '') return otherwise;
  const n = Number(value);
  if (!Number.isFinite(n) || n < 0) {
    console.error(`shop: the config var ${name} must be a number, not "${value}"`);
    process.exit(1);
  }
  return n;
}

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

module.exports = { required, number, wait };
