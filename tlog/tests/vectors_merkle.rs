//! The shared vectors of RFC 6962 trees and proofs.

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use support::{Count, array, load, string};
use tlog::merkle::is_subtree;
use tlog::{ConsistencyProof, Hash, InclusionProof, SubtreeProof, Tree, hash_children, hash_leaf};

#[test]
fn inclusion() {
    let Some(file) = load("merkle/inclusion.json") else { return };
    let mut count = Count::of("merkle/inclusion.json");
    for case in array(&file, "cases") {
        let accepted = included(case).is_some_and(|(proof, root, leaf)| {
            let tree = Tree { size: number(case, "treeSize"), root };
            proof.verify(&tree, number(case, "leafIdx"), &leaf).is_ok()
        });
        judge(case, accepted);
        count.ran();
    }
    count.finish(98, 0);
}

#[test]
fn consistency() {
    let Some(file) = load("merkle/consistency.json") else { return };
    let mut count = Count::of("merkle/consistency.json");
    for case in array(&file, "cases") {
        let name = string(case, "source_file");
        let old = Tree { size: number(case, "size1"), root: hash(case, "root1") };
        let new = Tree { size: number(case, "size2"), root: hash(case, "root2") };
        let accepted = proof(case).is_some_and(|proof| ConsistencyProof(proof).verify(&old, &new).is_ok());
        if name == "consistency/additional/size1-is-zero-and-size2-is-not-zero.json" {
            // Refused there as useless; tlog-witness wants a first checkpoint to be accepted with old 0 and no proof.
            assert!(accepted, "{name}");
            count.list(name, "every tree extends the empty one, with an empty proof (C2SP tlog-witness)");
            continue;
        }
        judge(case, accepted);
        count.ran();
    }
    count.finish(98, 1);
}

#[test]
fn subtree_inclusion() {
    let Some(file) = load("merkle/subtreeinclusion.json") else { return };
    let mut count = Count::of("merkle/subtreeinclusion.json");
    for case in array(&file, "cases") {
        let (start, end, index) = (number(case, "start"), number(case, "end"), number(case, "leafIdx"));
        let accepted = included(case).is_some_and(|(proof, root, leaf)| proof.verify_in_subtree(start, end, &root, index, &leaf).is_ok());
        judge(case, accepted);
        count.ran();
    }
    count.finish(204, 0);
}

#[test]
fn subtree_consistency() {
    let Some(file) = load("merkle/subtreeconsistency.json") else { return };
    let mut count = Count::of("merkle/subtreeconsistency.json");
    for case in array(&file, "cases") {
        let tree = Tree { size: number(case, "size"), root: hash(case, "root2") };
        let (start, end, subtree) = (number(case, "start"), number(case, "end"), hash(case, "root1"));
        let accepted = proof(case).is_some_and(|proof| SubtreeProof(proof).verify(&tree, start, end, &subtree).is_ok());
        assert!(!accepted || is_subtree(start, end));
        judge(case, accepted);
        count.ran();
    }
    count.finish(118, 0);
}

#[test]
fn known_answers() {
    let Some(file) = load("merkle/rfc6962-constants.json") else { return };
    let mut count = Count::of("merkle/rfc6962-constants.json");
    let inputs = array(&file, "leaf_inputs_hex");
    let leaves: Vec<Hash> = inputs.iter().map(|hex| hash_leaf(&hex::decode(hex.as_str().unwrap()).unwrap())).collect();
    inputs.iter().for_each(|_| count.ran());
    let mut nodes = leaves.clone();
    for level in array(&file, "node_hashes_hex_by_level") {
        for (node, want) in nodes.iter().zip(level.as_array().unwrap()) {
            assert_eq!(node.to_hex(), want.as_str().unwrap());
            count.ran();
        }
        nodes = nodes.as_chunks::<2>().0.iter().map(|[left, right]| hash_children(left, right)).collect();
    }
    for (size, want) in array(&file, "root_hash_hex_by_size_0_to_8").iter().enumerate() {
        assert_eq!(Tree::of(&leaves[..size]).root.to_hex(), want.as_str().unwrap(), "size {size}");
        count.ran();
    }
    for case in array(&file, "cases") {
        let data = case["data_utf8"].as_str().map_or_else(|| hex::decode(case["data_hex"].as_str().unwrap_or("")).unwrap(), Vec::from);
        let got = match string(case, "op") {
            "empty_root" => Tree::EMPTY.root,
            "leaf" => hash_leaf(&data),
            // The children are four letters there, not hashes: the case shows the prefix byte and the order.
            "node_of_raw_children" => {
                Hash::digest(&[b"\x01", string(case, "left_utf8").as_bytes(), string(case, "right_utf8").as_bytes()].concat())
            }
            op => panic!("unknown op {op}"),
        };
        assert_eq!(got.to_hex(), string(case, "want"));
        count.ran();
    }
    count.finish(8 + 15 + 9 + 4, 0);
}

fn judge(case: &Value, accepted: bool) {
    let refuse = case["wantErr"].as_bool().unwrap();
    assert_eq!(accepted, !refuse, "{}", string(case, "source_file"));
}

fn number(case: &Value, key: &str) -> u64 {
    case[key].as_u64().unwrap_or_else(|| panic!("no number {key} in {case}"))
}

/// Proof, root and leaf hash of an inclusion case; `None` if one of them has not 32 bytes, which no codec lets through.
fn included(case: &Value) -> Option<(InclusionProof, Hash, Hash)> {
    Some((InclusionProof(proof(case)?), Hash::from_base64(string(case, "root"))?, Hash::from_base64(string(case, "leafHash"))?))
}

/// A hash of 32 bytes as it is. Some consistency cases have arbitrary bytes for roots that are only compared with each other: their
/// digests stand for them.
fn hash(case: &Value, key: &str) -> Hash {
    let bytes = STANDARD.decode(string(case, key)).unwrap();
    <[u8; 32]>::try_from(bytes.as_slice()).map_or_else(|_| Hash::digest(&bytes), Hash::new)
}

/// The proof's hashes; `None` if one of them has not 32 bytes, which no codec lets through.
fn proof(case: &Value) -> Option<Vec<Hash>> {
    case["proof"].as_array().into_iter().flatten().map(|hash| Hash::from_base64(hash.as_str()?)).collect()
}
