import assert from 'node:assert/strict';
import { panelHtml } from '../../../src/host/panelHtml';
import { addRecentQuestion } from '../../../src/host/recentQuestions';

describe('panelHtml', () => {
  it('allows nothing but the panel’s own script and style, and images', () => {
    const html = panelHtml({
      cspSource: 'https://host',
      nonce: 'abc=',
      scriptSrc: 'https://host/panel.js',
      styleSrc: 'https://host/panel.css',
    });
    const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(html)?.[1];
    assert.deepEqual(policy?.split('; '), [
      "default-src 'none'",
      'img-src https://host data:',
      'style-src https://host',
      "script-src 'nonce-abc='",
    ]);
    assert.deepEqual(html.match(/<script[^>]*>/g), [
      '<script nonce="abc=" src="https://host/panel.js">',
    ]);
  });
});

describe('addRecentQuestion', () => {
  it('puts the newest first, each once, twenty at most', () => {
    assert.deepEqual(addRecentQuestion(['b', 'a', 'c'], 'a'), ['a', 'b', 'c']);
    const many = Array.from({ length: 30 }, (_, index) => `q${index}`);
    const recent = addRecentQuestion(many, 'new');
    assert.equal(recent.length, 20);
    assert.equal(recent[0], 'new');
    assert.deepEqual(addRecentQuestion(['a'], 'x'.repeat(100_000)), ['a']);
    assert.deepEqual(addRecentQuestion(['a'], ' \n'), ['a']);
  });
});
