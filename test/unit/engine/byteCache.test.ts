import { deepStrictEqual, strictEqual } from 'node:assert/strict';
import { ByteCache } from '../../../src/engine/byteCache';

describe('byte cache', () => {
  it('drops what was used longest ago, and only as much as needed', () => {
    const dropped: string[] = [];
    const cache = new ByteCache<string>(10, (value) => dropped.push(value));
    cache.set('a', 'A', 4);
    cache.set('b', 'B', 4);
    strictEqual(cache.get('a'), 'A');
    cache.set('c', 'C', 4);
    deepStrictEqual(dropped, ['B']);
    strictEqual(cache.get('b'), undefined);
    strictEqual(cache.get('a'), 'A');
    strictEqual(cache.bytes, 8);
  });

  it('replaces an entry and frees the old one', () => {
    const dropped: string[] = [];
    const cache = new ByteCache<string>(10, (value) => dropped.push(value));
    cache.set('a', 'old', 6);
    cache.set('a', 'new', 7);
    deepStrictEqual([cache.get('a'), cache.bytes, ...dropped], ['new', 7, 'old']);
  });

  it('keeps an entry that is too large alone', () => {
    const cache = new ByteCache<string>(10);
    cache.set('a', 'A', 4);
    cache.set('b', 'B', 40);
    deepStrictEqual([cache.get('a'), cache.get('b')], [undefined, 'B']);
    cache.set('c', 'C', 1);
    deepStrictEqual([cache.get('b'), cache.get('c'), cache.bytes], [undefined, 'C', 1]);
  });

  it('frees everything when it is cleared', () => {
    const dropped: string[] = [];
    const cache = new ByteCache<string>(10, (value) => dropped.push(value));
    cache.set('a', 'A', 1);
    cache.set('b', 'B', 1);
    cache.clear();
    deepStrictEqual([...dropped, cache.bytes], ['A', 'B', 0]);
  });
});
