/** The same checkpoint in @huggingface/transformers 4: vanilla, one generation a call. */
import { basename, dirname } from 'node:path';
import {
  AutoModelForImageTextToText,
  AutoProcessor,
  env,
  RawImage,
  type Tensor,
} from '@huggingface/transformers';

export interface Generation {
  text: string;
  promptTokens: number;
  tokens: number;
  /** From each token but the first to the next. */
  stepMs: number[];
}

type Dtype = 'fp32' | 'int8' | 'q4';

export type Generate = (
  imageFile: string,
  prompt: string,
  options: { maxNewTokens: number; sampling: { temperature: number; topP: number } | null },
) => Promise<Generation>;

/**
 * @param folder absolute path of the checkpoint
 * @param dtype of all graphs, or of each
 */
export async function loadTransformersJs(
  folder: string,
  dtype: Dtype | Record<string, Dtype> = 'fp32',
): Promise<Generate> {
  env.allowRemoteModels = false;
  env.localModelPath = `${dirname(folder)}/`;
  const name = basename(folder);
  const processor = await AutoProcessor.from_pretrained(name, {});
  const model = await AutoModelForImageTextToText.from_pretrained(name, { dtype, device: 'cpu' });
  return async (imageFile, prompt, { maxNewTokens, sampling }) => {
    const conversation = [
      { role: 'user', content: [{ type: 'image' }, { type: 'text', text: prompt }] },
    ];
    // The declared type only knows text conversations.
    const text = processor.apply_chat_template(conversation as never, {
      add_generation_prompt: true,
    });
    const inputs = (await processor(text, await RawImage.read(imageFile))) as {
      input_ids: Tensor;
    };
    const promptTokens = inputs.input_ids.dims.at(-1)!;
    const times: number[] = [];
    const output = (await model.generate({
      ...inputs,
      streamer: { put: () => times.push(performance.now()), end: () => {} },
      max_new_tokens: maxNewTokens,
      ...(sampling
        ? { do_sample: true, temperature: sampling.temperature, top_p: sampling.topP, top_k: 0 }
        : { do_sample: false }),
    } as never)) as Tensor;
    const generated = output.slice(null, [promptTokens, output.dims.at(-1)!]);
    const [answer = ''] = processor.batch_decode(generated, { skip_special_tokens: true });
    const stepMs = times.slice(2).map((time, i) => time - times[i + 1]!); // the prompt comes first
    return { text: answer, promptTokens, tokens: generated.dims.at(-1)!, stepMs };
  };
}
