import assert from 'node:assert/strict';
import { defaultSettings } from '../../../src/avis/settings';
import { parseArguments, resolveSettings } from '../../../src/cli/arguments';
import { AvisError } from '../../../src/shared/errors';
import type { AskSettings } from '../../../src/shared/types';

const defaults = defaultSettings({
  bins: [{ upTo: 1, k: 1 }],
  tauDegrees: 54,
  temperature: 0.6,
  topP: 0.8,
  maxNewTokens: 300,
});
const fromConfig: AskSettings = {
  prune: { mode: 'fixed', ratio: 0.5 },
  rollouts: { mode: 'adaptive', cap: 3 },
  confidence: 0.9,
  temperature: 1,
  topP: 0.7,
  seed: 5,
  maxNewTokens: 100,
  thinking: false,
  earlyStop: false,
};

function settingsFor(options: string[], config: AskSettings | null = null): AskSettings {
  const parsed = parseArguments([...options, 'cat.png', 'What is it?']);
  return resolveSettings(parsed!.settings, defaults, config);
}

describe('command-line arguments', () => {
  it('are an image and a question, anywhere among the options', () => {
    const parsed = parseArguments(['cat.png', '--json', 'How many? 🐈', '--device', 'cpu']);
    assert.equal(parsed!.image, 'cat.png');
    assert.equal(parsed!.question, 'How many? 🐈');
    assert.equal(parsed!.device, 'cpu');
    assert.equal(parsed!.json, true);
    assert.equal(parsed!.modelFolder, null);
    assert.equal(parsed!.configFile, null);
  });

  it('may start with a dash after --', () => {
    assert.equal(parseArguments(['--', 'cat.png', '-3 + 5?'])!.question, '-3 + 5?');
  });

  it('ask for help with --help alone', () => assert.equal(parseArguments(['--help']), null));

  it("leave the model's defaults as they are", () => assert.deepEqual(settingsFor([]), defaults));

  it("leave a configuration's settings as they are", () => {
    assert.deepEqual(settingsFor([], fromConfig), fromConfig);
  });

  it('set every setting', () => {
    const options =
      '--prune 0.75 --rollouts 5 --confidence 0.8 --temperature 0.5 --top-p 1 --seed 42 --max-new-tokens 64 ' +
      '--no-thinking --no-early-stop';
    assert.deepEqual(settingsFor(options.split(' ')), {
      prune: { mode: 'fixed', ratio: 0.75 },
      rollouts: { mode: 'fixed', k: 5 },
      confidence: 0.8,
      temperature: 0.5,
      topP: 1,
      seed: 42,
      maxNewTokens: 64,
      thinking: false,
      earlyStop: false,
    });
  });

  it('override a configuration, the rest of which holds', () => {
    assert.deepEqual(settingsFor(['--seed', '0', '--cap', '5'], fromConfig), {
      ...fromConfig,
      seed: 0,
      rollouts: { mode: 'adaptive', cap: 5 },
    });
  });

  it('turn a fixed lever adaptive, with what the model was calibrated for', () => {
    const adaptive = { mode: 'adaptive', tauDegrees: 54 };
    assert.deepEqual(settingsFor(['--prune', 'adaptive'], fromConfig).prune, adaptive);
    assert.deepEqual(settingsFor(['--tau', '60'], fromConfig).prune, {
      mode: 'adaptive',
      tauDegrees: 60,
    });
    assert.deepEqual(settingsFor(['--rollouts', 'adaptive'], fromConfig).rollouts, {
      mode: 'adaptive',
      cap: 3,
    });
  });

  for (const [argv, message] of [
    [[], /^IMAGE and QUESTION are missing\. See --help\.$/],
    [['cat.png'], /^QUESTION is missing/],
    [['cat.png', 'what', 'is'], /^"is" is one argument too many; put the question in quotes/],
    [['cat.png', '  '], /^the question is empty/],
    [['cat.png', 'a'.repeat(9000)], /^the question has 9000 characters, .* on standard input/],
    [['--bogus', 'cat.png', 'what'], /^Unknown option '--bogus'/],
    [['--json=yes', 'cat.png', 'what'], /^Option '--json' does not take an argument/],
    [['--prune', '1', 'cat.png', 'what'], /^--prune is 1: it must be a number from 0 to 0\.99/],
    [['--prune', 'some', 'cat.png', 'what'], /^--prune is "some": it must be adaptive or a number/],
    [['--tau', '91', 'cat.png', 'what'], /^--tau is 91: it must be a number from 0 to 90/],
    [['--tau', '', 'cat.png', 'what'], /^--tau is "": it must be a number/],
    [['--prune', '0.5', '--tau', '50', 'cat.png', 'what'], /^--tau belongs to adaptive pruning/],
    [
      ['--rollouts', '17', 'cat.png', 'what'],
      /^--rollouts is 17: it must be a whole number from 1/,
    ],
    [['--rollouts', '2.5', 'cat.png', 'what'], /^--rollouts is 2\.5: it must be a whole number/],
    [['--rollouts', '3', '--cap', '5', 'cat.png', 'what'], /^--cap belongs to adaptive rollouts/],
    [['--cap', '0', 'cat.png', 'what'], /^--cap is 0: it must be a whole number from 1 to 16/],
    [['--temperature', '0', 'cat.png', 'what'], /^--temperature is 0: .* from 0\.01 to 2/],
    [['--top-p', '1.1', 'cat.png', 'what'], /^--top-p is 1\.1: .* from 0\.01 to 1/],
    [['--seed', '1e10', 'cat.png', 'what'], /^--seed is 10000000000: it must be a whole number/],
    [['--max-new-tokens', '0', 'cat.png', 'what'], /^--max-new-tokens is 0: .* from 1 to 16384/],
    [['--device', 'tpu', 'cat.png', 'what'], /^--device is "tpu": it must be one of auto, cpu/],
  ] as [string[], RegExp][]) {
    it(`refuse ${JSON.stringify(argv.join(' ').slice(0, 60))}`, () => {
      assert.throws(
        () => parseArguments(argv),
        (error) =>
          error instanceof AvisError && error.code === 'badInput' && message.test(error.message),
      );
    });
  }
});
