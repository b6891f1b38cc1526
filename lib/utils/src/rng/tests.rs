use proptest::prelude::*;

use super::UtilsRng;

#[test]
fn first_numbers_are_those_of_splitmix64() {
    let mut rng = UtilsRng::new(1_234_567);
    let numbers: [u64; 3] = std::array::from_fn(|_| rng.next_u64());
    assert_eq!(
        numbers,
        [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423
        ]
    );
}

#[test]
fn doubles_have_the_mean_of_the_uniform_distribution() {
    let mut rng = UtilsRng::new(42);
    let n = 100_000;
    let mean = (0..n).map(|_| rng.next_f64()).sum::<f64>() / f64::from(n);
    assert!((mean - 0.5).abs() < 0.01, "{mean}");
}

proptest! {
    #[test]
    fn doubles_are_at_least_0_and_below_1(seed: u64) {
        let x = UtilsRng::new(seed).next_f64();
        prop_assert!((0.0..1.0).contains(&x));
    }

    #[test]
    fn fill_is_the_sequence_of_words(seed: u64, len in 0usize..100) {
        let mut bytes = vec![0; len];
        UtilsRng::new(seed).fill(&mut bytes);
        let mut rng = UtilsRng::new(seed);
        let words: Vec<u8> = (0..13).flat_map(|_| rng.next_u64().to_le_bytes()).collect();
        prop_assert_eq!(&bytes[..], &words[..len]);
    }
}
