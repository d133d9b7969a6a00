from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaching_api.tax_id_shapes import SHAPES, has_shape

# One well-known example of every type; most stand so in Stripe's list of supported tax ids.
EXAMPLES = {
    "ad_nrt": "A-123456-Z", "ae_trn": "123456789012345", "al_tin": "J12345678N",
    "am_tin": "02538904", "ao_tin": "5123456789", "ar_cuit": "12-3456789-01",
    "au_abn": "12345678912", "au_acn": "123456789", "au_arn": "123456789123",
    "au_wpn": "123456789", "aw_tin": "12345678", "az_tin": "0123456789",
    "ba_tin": "123456789012", "bb_tin": "1123456789012", "bd_bin": "123456789-0123",
    "bf_ifu": "12345678A", "bg_uic": "123456789", "bh_vat": "123456789012345",
    "bj_ifu": "1234567890123", "bo_tin": "123456789", "br_cnpj": "01.234.456/5432-10",
    "br_cpf": "123.456.789-87", "bs_tin": "123.456.789", "bw_vat": "C01234501112",
    "by_tin": "123456789", "ca_bn": "123456789", "ca_gst_hst": "123456789RT0002",
    "ca_pst_bc": "PST-1234-5678", "ca_pst_mb": "123456-7", "ca_pst_sk": "1234567",
    "ca_qst": "1234567890TQ1234", "cd_nif": "A0123456M", "ch_uid": "CHE-123.456.789 HR",
    "ch_vat": "CHE-123.456.789 MWST", "ci_vat": "9500015F", "cl_tin": "12.345.678-K",
    "cm_niu": "M123456789000L", "cn_tin": "123456789012345678", "co_nit": "123.456.789-0",
    "cr_tin": "1-234-567890", "cv_nif": "213456789", "cz_dic": "CZ1234567890",
    "de_stn": "1234567890", "do_rcn": "123-4567890-1", "ec_ruc": "1234567890001",
    "eg_tin": "123456789", "es_cif": "A12345678", "et_tin": "1234567890",
    "eu_oss_vat": "EU123456789", "eu_vat": "DE123456789", "fo_vat": "FO123456",
    "fr_siren": "123456789", "fr_siret": "12345678901234", "fr_spi": "1234567890123",
    "gb_vat": "GB123456789", "ge_vat": "123456789", "gh_tin": "C0012345678",
    "gi_tin": "12345", "gn_nif": "123456789", "hk_br": "12345678", "hr_oib": "12345678901",
    "hu_tin": "12345678-1-23", "ic_nif": "A12345678", "id_npwp": "012.345.678.9-012.345",
    "il_vat": "000012345", "in_gst": "12ABCDE3456FGZH", "is_kt": "120174-3399",
    "is_vat": "123456", "it_cf": "ABCDEF12A12A123A", "jp_cn": "1234567891234",
    "jp_rn": "12345", "jp_trn": "T1234567891234", "ke_pin": "P000111111A",
    "kg_tin": "12345678901234", "kh_tin": "1001-123456789", "kr_brn": "123-45-67890",
    "kz_bin": "123456789012", "la_tin": "123456789-000", "li_uid": "CHE123456789",
    "li_vat": "12345", "lk_vat": "123456789-1234", "ma_vat": "12345678",
    "md_cf": "1003600012346", "md_vat": "1234567", "me_pib": "12345678",
    "mk_vat": "MK1234567890123", "mr_nif": "12345678", "mu_vat": "20123456",
    "mx_rfc": "ABC010203AB9", "my_frp": "12345678", "my_itn": "C 1234567890",
    "my_sst": "A12-3456-78912345", "mz_nuit": "123456789", "ng_tin": "12345678-0001",
    "no_vat": "123456789MVA", "no_voec": "1234567", "np_pan": "123456789",
    "nz_bn": "9429032389470", "nz_gst": "123456789", "om_vat": "OM1234567890",
    "pe_ruc": "12345678901", "ph_tin": "123456789012", "pl_nip": "1234567890",
    "pt_nif": "123456789", "py_ruc": "12345678A", "ro_tin": "1234567890123",
    "rs_pib": "123456789", "ru_inn": "1234567891", "ru_kpp": "123456789",
    "sa_vat": "123456789012345", "sg_gst": "M12345678X", "sg_uen": "123456789F",
    "si_tin": "12345678", "sm_coe": "12345", "sn_ninea": "12345672A2", "sr_fin": "1234567890",
    "sv_nit": "1234-567890-123-4", "th_vat": "1234567891234", "tj_tin": "123456789",
    "tr_tin": "0123456789", "tt_bir": "123456789-1", "tt_vat": "123456",
    "tw_vat": "12345678", "tz_vat": "12345678A", "ua_vat": "123456789", "ug_tin": "1014751879",
    "us_ein": "12-3456789", "uy_ruc": "123456789012", "uz_tin": "123456789",
    "uz_vat": "123456789012", "ve_rif": "A-12345678-9", "vn_tin": "1234567890",
    "za_vat": "4123456789", "zm_tin": "1004751879", "zw_tin": "1234567890",
}  # fmt: skip

EU_VAT_EXAMPLES = [
    "ATU12345678", "BE0123456789", "BG0123456789", "CY12345678Z", "CZ1234567890",
    "DE123456789", "DK12345678", "EE123456789", "EL123456789", "ESA1234567Z", "FI12345678",
    "FRAB123456789", "HR12345678912", "HU12345678", "HU12345678912", "IE1234567A",
    "IE1234567AB", "IT12345678912", "LT123456789", "LT123456789123", "LU12345678",
    "LV12345678912", "MT12345678", "NL123456789B12", "PL1234567890", "PT123456789",
    "RO1234567891", "SE123456789123", "SI12345678", "SK1234567891", "XI123456789",
]  # fmt: skip


def test_all_135_types_have_a_shape_and_an_example() -> None:
    assert len(SHAPES) == 135
    assert set(SHAPES) == set(EXAMPLES)


@pytest.mark.parametrize(("tax_id_type", "number"), EXAMPLES.items())
def test_the_example_of_every_type_has_its_shape(tax_id_type: str, number: str) -> None:
    assert has_shape(number, SHAPES[tax_id_type])


@pytest.mark.parametrize("number", EU_VAT_EXAMPLES)
def test_every_member_state_has_its_vat_number(number: str) -> None:
    assert has_shape(number, SHAPES["eu_vat"])


@pytest.mark.parametrize(
    ("tax_id_type", "number"),
    [
        ("eu_vat", "DE 123 456 789"),
        ("eu_vat", "de123456789"),
        ("us_ein", "123456789"),
        ("br_cnpj", "12ABC34501DE35"),
        ("br_cnpj", "01234456543210"),
        ("ch_vat", "CHE123456789TVA"),
        ("es_cif", "12345678Z"),
        ("es_cif", "X1234567L"),
        ("it_cf", "12345678901"),
        ("gb_vat", "GBGD001"),
        ("mx_rfc", "\N{LATIN CAPITAL LETTER N WITH TILDE}&A010203AB9"),
        ("cl_tin", "12345678-5"),
        ("vn_tin", "1234567890-123"),
        ("bg_uic", "1234567890123"),
    ],
)
def test_other_published_spellings_are_taken(tax_id_type: str, number: str) -> None:
    assert has_shape(number, SHAPES[tax_id_type])


@pytest.mark.parametrize(
    ("tax_id_type", "number"),
    [
        ("eu_vat", "DE12345678"),
        ("eu_vat", "DE1234567890"),
        ("eu_vat", "DE12345678A"),
        ("eu_vat", "123456789"),
        ("eu_vat", "XX123456789"),
        ("eu_vat", "GB123456789"),
        ("eu_vat", "DE\N{SUPERSCRIPT TWO}23456789"),
        ("eu_vat", "DE\N{ARABIC-INDIC DIGIT ONE}23456789"),
        ("us_ein", "12-345678"),
        ("us_ein", "AB-CDEFGHI"),
        ("gb_vat", "GB12345678"),
        ("ch_vat", "CHE-123.456.789"),
        ("no_vat", "123456789"),
        ("jp_trn", "1234567891234"),
        ("za_vat", "1234567890"),
        ("cl_tin", "12.345.678-X"),
        ("au_abn", "1234567890"),
        ("in_gst", "ABCDE"),
        ("br_cpf", "123_456_789_87"),
        ("us_ein", ""),
        ("us_ein", "-"),
        ("us_ein", "12-3456789" + " " * 100),
    ],
)
def test_a_number_of_another_shape_is_refused(tax_id_type: str, number: str) -> None:
    assert not has_shape(number, SHAPES[tax_id_type])


@given(st.sampled_from(sorted(EXAMPLES)), st.data())
def test_a_digit_more_than_any_shape_allows_is_refused(
    tax_id_type: str, data: st.DataObject
) -> None:
    longest = max(len(shape) for shape in SHAPES[tax_id_type])
    number = data.draw(st.text("0123456789", min_size=longest + 1, max_size=longest + 1))
    assert not has_shape(number, SHAPES[tax_id_type])


@given(st.sampled_from(sorted(SHAPES)), st.text(max_size=80))
def test_any_text_is_either_of_the_shape_or_not(tax_id_type: str, text: str) -> None:
    assert has_shape(text, SHAPES[tax_id_type]) in {True, False}
