import { Template } from '@huggingface/jinja';
import { Tokenizer } from '@huggingface/tokenizers';
import { AvisError } from '../shared/errors';
import { isObject, type JsonObject } from './json';

/** The checkpoint's tokenizer and chat template. */
export class TextCodec {
  private readonly tokenizer: Tokenizer;
  private readonly template: Template;
  private readonly templateTokens: Record<string, string>;
  /** Added tokens that the tokenizer recognises anywhere in a text and that steer the model. */
  private readonly controlTokens: string[];

  /** @throws {AvisError} 'badModel' */
  constructor(tokenizerJson: JsonObject, tokenizerConfig: JsonObject, chatTemplate: string) {
    try {
      this.tokenizer = new Tokenizer(tokenizerJson, tokenizerConfig);
    } catch (error) {
      throw new AvisError(
        'badModel',
        `The checkpoint's tokenizer.json can't be used: ${(error as Error).message}`,
        { cause: error },
      );
    }
    try {
      this.template = new Template(chatTemplate);
    } catch (error) {
      throw new AvisError(
        'badModel',
        `The checkpoint's chat template can't be used: ${(error as Error).message}`,
        { cause: error },
      );
    }
    this.templateTokens = {};
    for (const name of ['bos_token', 'eos_token', 'pad_token', 'unk_token']) {
      const value = tokenizerConfig[name];
      const text = isObject(value) ? value['content'] : value;
      if (typeof text === 'string') this.templateTokens[name] = text;
    }
    this.controlTokens = [...this.tokenizer.get_added_tokens_decoder().values()]
      .filter((token) => token.special)
      .map((token) => token.content);
  }

  encode(text: string): number[] {
    return this.tokenizer.encode(text, { add_special_tokens: false }).ids;
  }

  /** Leaves out special tokens; `<think>` and `<answer>` are not among them. */
  decode(ids: readonly number[]): string {
    if (ids.length === 0) return '';
    return this.tokenizer.decode([...ids], {
      skip_special_tokens: true,
      clean_up_tokenization_spaces: false,
    });
  }

  /**
   * One user turn: the images, then the text, up to where the answer begins.
   * @throws {AvisError} 'badInput' when the question holds a control token, which would let it pose as
   * another turn or as an image.
   */
  renderPrompt(imageCount: number, question: string, instruction: string): string {
    const control = this.controlTokens.find((token) => question.includes(token));
    if (control !== undefined) {
      throw new AvisError(
        'badInput',
        `The question contains ${control}, a control token of this model. Remove it.`,
      );
    }
    const images = Array.from({ length: imageCount }, () => ({ type: 'image' }));
    const content = [...images, { type: 'text', text: question + instruction }];
    try {
      return this.template.render({
        messages: [{ role: 'user', content }],
        add_generation_prompt: true,
        ...this.templateTokens,
      });
    } catch (error) {
      throw new AvisError(
        'badModel',
        `The checkpoint's chat template fails: ${(error as Error).message}`,
        { cause: error },
      );
    }
  }
}

/**
 * Turns a growing token sequence into text at a cost that doesn't grow with it: only the tokens since
 * the last safe point are decoded again. Bytes of an unfinished character are held back.
 */
export class TextStream {
  readonly ids: number[] = [];
  private settled = '';
  private contextStart = 0;
  private settledEnd = 0;

  constructor(private readonly codec: TextCodec) {}

  push(id: number): void {
    this.ids.push(id);
  }

  /** Everything that is certain so far. */
  get text(): string {
    const context = this.codec.decode(this.ids.slice(this.contextStart, this.settledEnd));
    const recent = this.codec.decode(this.ids.slice(this.contextStart));
    if (recent.length > context.length && !recent.endsWith('\uFFFD')) {
      this.settled += recent.slice(context.length);
      this.contextStart = this.settledEnd;
      this.settledEnd = this.ids.length;
    }
    return this.settled;
  }

  /** The whole text, decoded at once. */
  finish(): string {
    return this.codec.decode(this.ids);
  }
}
